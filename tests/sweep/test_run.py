"""What is asked before a sweep starts, and what memory it takes however many points there are."""

import subprocess
import sys
import time
import tracemalloc

import pytest

from mlsysim import Engine
from mlsysim.errors import InvalidValue
from mlsysim.sweep import run
from mlsysim.sweep.reduce import Summary, Top

HUGE = {"batch_size": "1..1e6+1", "context": "1..1e6+1", "usd_per_hour": "1..2/1000000", "phase": "decode"}


def test_a_grid_of_a_million_million_million_points_is_refused_at_once():
    Engine.sweep("gpt2", "a100")  # tables are read
    tracemalloc.start()
    begun = time.perf_counter()
    with pytest.raises(InvalidValue) as refused:
        Engine.sweep("gpt2", "a100", **HUGE, reduce=Summary("time_s"))
    assert time.perf_counter() - begun < 0.5
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert str(refused.value) == (
        "points must be confirmed from 1e+10 on, got '1e+18'; "
        "the longest fields are batch_size, context, usd_per_hour; confirm=True (--yes) starts it all the same"
    )


def test_the_longest_fields_are_named_first():
    with pytest.raises(InvalidValue, match="the longest fields are efficiency, batch_size, hardware;"):
        Engine.sweep(
            "gpt2", ["a100", "h100"], batch_size="1..1000+1", efficiency="0.1..0.2/100000000", reduce=Summary("time_s")
        )


def test_who_confirms_is_asked_with_the_number_of_points():
    asked = []

    def no(points):
        asked.append(points)
        return False

    with pytest.raises(InvalidValue, match="points must be confirmed"):
        Engine.sweep("gpt2", "a100", **HUGE, reduce=Summary("time_s"), confirm=no)
    assert asked == [10**18]
    Engine.sweep("gpt2", "a100", batch_size=[1, 2], confirm=no)
    assert asked == [10**18]


def test_a_sweep_that_was_confirmed_starts(monkeypatch):
    monkeypatch.setattr(run, "MANY", 10)
    fields = {"batch_size": range(1, 21), "keep": ["time_s"]}
    with pytest.raises(InvalidValue, match="points must be confirmed from 1e"):
        Engine.sweep("gpt2", "a100", **fields)
    assert Engine.sweep("gpt2", "a100", **fields, confirm=True).points == 20
    assert Engine.sweep("gpt2", "a100", **fields, confirm=lambda points: points == 20).points == 20


def test_more_than_memory_holds_is_refused_with_what_to_do():
    fields = {"batch_size": "1..1e5+1", "usd_per_hour": "1..2/90000"}
    with pytest.raises(InvalidValue) as refused:
        Engine.sweep("gpt2", "a100", **fields)
    assert "points must be at most " in str(refused.value)
    hint = "keep fewer quantities (keep), reduce them on the way (reduce), or write them to disk (to)"
    assert str(refused.value).endswith(hint)


def test_one_of_several_reductions_may_stand_alone():
    one = Engine.sweep("gpt2", "a100", batch_size=[1, 2, 3], reduce=Top(1, "time_s"))
    assert (len(one.kept), one.points, one.planned) == (1, 3, 3)


PEAK = """
import resource, sys
from mlsysim import Engine
from mlsysim.sweep.reduce import Summary
found = Engine.sweep("llama-3.1-8b", "h100", phase="decode", batch_size="1..100+1", context="1..100+1",
                     efficiency=f"0.0001..0.001/{sys.argv[1]}", reduce=Summary("time_s"))
assert found.points == 10**4 * int(sys.argv[1]), found.points
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_points():
    # A million and forty million points: the fields of the larger sweep alone would take 1 GB as columns.
    peaks = [int(subprocess.check_output([sys.executable, "-c", PEAK, count], text=True)) for count in ("100", "4000")]
    assert peaks[1] < 1.1 * peaks[0]
