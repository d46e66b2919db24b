"""Who does the work does not show: threads, processes, executors, Dask; workers that die; Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from mlsysim import Engine
from mlsysim.errors import InvalidValue
from mlsysim.sweep import pieces, pools
from mlsysim.sweep.pools import WorkersLost, opened, ordered
from mlsysim.sweep.reduce import Pareto, Quantiles, Summary, Top

FIELDS = {
    "models": ["llama-3.1-8b", "mixtral-8x7b", "resnet-50"],
    "hardware": ["h100", "graviton4"],
    "phase": ["forward", "decode"],
    "batch_size": range(1, 40),
    "context": [128, 4096],
    "efficiency": None,
}
REDUCTIONS = (
    Top(5, "time_s", per=("model",)),
    Pareto(("time_s", "-throughput", "memory_bytes")),
    Quantiles(("time_s", "throughput"), per=("hardware",)),
    Summary(("time_s",)),
)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(pieces, "BOX", 16)
    monkeypatch.setattr(pieces, "TASK", 64)
    monkeypatch.setattr(pieces, "FAR", 1)


@pytest.fixture(scope="module")
def dask_address():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=40
    ) as cluster:
        yield cluster.scheduler_address


def bits(columns):
    """Return the columns as bytes; NaN is NaN, whatever its sign."""
    found = {name: columns[name].astype(str if columns.is_words(name) else float) for name in columns}
    return {n: (v if columns.is_words(n) else np.where(np.isnan(v), np.nan, v)).tobytes() for n, v in found.items()}


def by_threads():
    return ThreadPoolExecutor(3)


def by_processes():
    return ProcessPoolExecutor(2, mp_context=get_context("spawn" if sys.platform != "linux" else "fork"))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("by", [{}, {"workers": 2}, {"executor": by_threads}, {"executor": by_processes}])
def test_columns_reductions_and_parts_are_the_same_to_the_bit(small_parts, tmp_path, by):
    parquet = pytest.importorskip("pyarrow.parquet")
    here = {"workers": 1}
    made = by["executor"]() if "executor" in by else None
    by = {"executor": made} if made else by
    try:
        assert bits(Engine.sweep(**FIELDS, **by)) == bits(Engine.sweep(**FIELDS, **here))
        one, other = (Engine.sweep(**FIELDS, reduce=REDUCTIONS, **who).kept for who in (here, by))
        assert [bits(kept) for kept in one[:2]] == [bits(kept) for kept in other[:2]]
        assert one[2:] == other[2:]
        for name, who in (("one", here), ("other", by)):
            Engine.sweep(**FIELDS, to=tmp_path / name, keep=["time_s", "bound"], **who)
    finally:
        if made:
            made.shutdown()
    parts = [sorted((tmp_path / name).iterdir()) for name in ("one", "other")]
    assert [p.name for p in parts[0]] == [p.name for p in parts[1]]
    for one, other in zip(*parts, strict=True):
        assert parquet.read_table(one).to_pandas().equals(parquet.read_table(other).to_pandas())


def test_dask_gives_the_same_to_the_bit(small_parts, tmp_path, dask_address):
    parquet = pytest.importorskip("pyarrow.parquet")
    asked = {**FIELDS, "models": ["llama-3.1-8b", "resnet-50"], "keep": ["time_s", "bound"]}
    assert bits(Engine.sweep(**asked, dask=dask_address)) == bits(Engine.sweep(**asked, workers=1))
    one, other = (
        Engine.sweep(**asked, reduce=REDUCTIONS, **who).kept for who in ({"workers": 1}, {"dask": dask_address})
    )
    assert [bits(kept) for kept in one[:2]] == [bits(kept) for kept in other[:2]]
    assert one[2:] == other[2:]
    Engine.sweep(**asked, to=tmp_path / "one", workers=1)
    Engine.sweep(**asked, to=tmp_path / "other", dask=dask_address)
    assert parquet.read_table(tmp_path / "one").to_pandas().equals(parquet.read_table(tmp_path / "other").to_pandas())


@pytest.mark.parametrize(("box", "task", "boxes"), [(1, 1, 1), (7, 20, 3), (1000, 10**6, 512)])
def test_how_the_grid_is_cut_does_not_show(monkeypatch, box, task, boxes):
    asked = {**FIELDS, "batch_size": range(1, 8), "workers": 1}
    whole, kept = Engine.sweep(**asked), Engine.sweep(**asked, reduce=REDUCTIONS).kept
    monkeypatch.setattr(pieces, "BOX", box)
    monkeypatch.setattr(pieces, "TASK", task)
    monkeypatch.setattr(pieces, "FAR", 1)
    monkeypatch.setattr(pieces, "TASK_BOXES", boxes)
    cut = Engine.sweep(**asked)
    for name in whole:
        if whole.is_words(name):
            assert list(cut[name]) == list(whole[name])
        else:
            np.testing.assert_allclose(cut[name].astype(float), whole[name].astype(float), rtol=1e-12, err_msg=name)
    for one, other in zip(kept, Engine.sweep(**asked, reduce=REDUCTIONS).kept, strict=True):
        if isinstance(one, list):  # the last bit of a value may be in the next bin of a quantile, 1/1024 wide
            assert other == [
                {k: pytest.approx(v, rel=1 / 1024) if isinstance(v, float) else v for k, v in row.items()}
                for row in one
            ]
        else:
            assert list(other["time_s"]) == pytest.approx(list(one["time_s"]), rel=1e-12)


def test_progress_counts_every_point_once(small_parts):
    told = []
    columns = Engine.sweep(**FIELDS, progress=lambda *done: told.append(done))
    assert [of for _, of in told] == [columns.points] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (columns.points, columns.points)


class _Dies:
    """Squares, by a worker that ends its process the first few times that it meets a five."""

    def __init__(self, path, times):
        self.path, self.times = path, times

    def __call__(self, task):
        if task == 5:
            with open(self.path, "a+") as file:  # noqa: PTH123
                file.seek(0)
                died = len(file.read())
                if died < self.times:
                    file.write("x")
                    file.flush()
                    os._exit(1)
        return task * task


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_that_die_are_replaced_and_nothing_is_lost_or_done_twice(tmp_path):
    with opened(None, 2, None) as (pool, count, anew):
        found = list(ordered(_Dies(tmp_path / "died", 1), range(40), pool, count, anew))
    assert found == [n * n for n in range(40)]
    assert (tmp_path / "died").read_text() == "x"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_that_always_die_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "TRIES", 1)
    with (
        opened(None, 2, None) as (pool, count, anew),
        pytest.raises(WorkersLost, match=r"workers died .* \(workers\) may fit into memory"),
    ):
        list(ordered(_Dies(tmp_path / "died", 100), range(40), pool, count, anew))
    assert (tmp_path / "died").read_text() == "xx"


class _Broken(ThreadPoolExecutor):
    """An executor that breaks when it is given its third task, not only when it is asked for an outcome."""

    given = 0

    def submit(self, *args, **kwargs):
        self.given += 1
        if self.given == 3:
            raise BrokenExecutor("broken")
        return super().submit(*args, **kwargs)


def test_a_pool_that_takes_no_more_tasks_is_replaced_and_no_task_lost():
    with _Broken(2) as broken, ThreadPoolExecutor(2) as sound:
        assert list(ordered(abs, range(40), broken, 2, lambda: sound)) == list(range(40))


def test_an_executor_of_the_caller_is_not_made_anew(tmp_path):
    with by_processes() as pool, pytest.raises(WorkersLost):
        list(ordered(_Dies(tmp_path / "died", 1), range(40), pool, 2))


def test_only_some_tasks_are_handed_out_ahead():
    seen = []

    def tasks():
        for n in range(10**9):
            seen.append(n)
            yield n

    with ThreadPoolExecutor(2) as pool:
        outcomes = ordered(abs, tasks(), pool, 2)
        assert [next(outcomes) for _ in range(3)] == [0, 1, 2]
        outcomes.close()
    assert len(seen) <= 3 + pools.AHEAD * 2


def test_an_error_in_a_task_reaches_the_caller():
    def fails(task):
        if task == 7:
            raise ZeroDivisionError("seven")
        return task

    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError, match="seven"):
        list(ordered(fails, range(100), pool, 2))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"workers": 2.0}, "workers must be a whole number of at least 1, got 2.0"),
        ({"workers": True}, "workers must be a whole number of at least 1, got True"),
        ({"workers": 2, "dask": "tcp://x:1"}, "dask must be left out where workers is given, got 'tcp://x:1'"),
    ],
)
def test_what_is_refused(asked, said):
    with pytest.raises(InvalidValue) as refused:
        Engine.sweep("gpt2", "a100", **asked)
    assert str(refused.value).startswith(said)


def test_no_scheduler_at_an_address():
    pytest.importorskip("distributed")
    with pytest.raises(InvalidValue, match="dask must be the address of a scheduler"):
        Engine.sweep("gpt2", "a100", dask="nonsense://127.0.0.1:1")


LONG = """
import sys, time
from mlsysim import Engine
from mlsysim.sweep import pieces
from mlsysim.sweep.reduce import Summary, Top
from mlsysim.sweep.run import Interrupted
pieces.BOX, pieces.TASK, pieces.FAR = 8, 16, 1
def tell(done, of):
    print(done, flush=True)
    time.sleep(0.02)
try:
    Engine.sweep("gpt2", ["a100", "l4"], phase="decode", batch_size=range(1, 2001), keep=["time_s"],
                 progress=tell, **eval(sys.argv[1]))
except Interrupted as stopped:
    print("result", stopped.result)
"""


def interrupted(arguments):
    """Return how many points a sweep had told of when Ctrl-C stopped it, and its result."""
    process = subprocess.Popen([sys.executable, "-c", LONG, arguments], stdout=subprocess.PIPE, text=True)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, out
    told, _, result = out.partition("result ")
    return max(map(int, told.split())), result


@pytest.mark.parametrize("by", ["", "'workers': 1", "'workers': 2"])
def test_ctrl_c_leaves_whole_parts(tmp_path, by):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, result = interrupted(f"{{'to': {str(tmp_path)!r}, {by}}}")
    assert result.startswith("Stored(")
    parts = sorted(tmp_path.iterdir())
    assert 0 < len(parts) < 250
    assert all(part.name.startswith("part-") and parquet.read_table(part).num_rows == 16 for part in parts[:-1])


@pytest.mark.parametrize("by", ["", "'workers': 2"])
def test_ctrl_c_leaves_what_was_reduced(by):
    told, result = interrupted(f"{{'reduce': [Summary('time_s')], {by}}}")
    points, planned = map(int, re.search(r"points=(\d+), planned=(\d+)", result).groups())
    assert told <= points < planned == 4000
    assert points % 16 == 0
    assert f"'points': {points}," in result


def test_what_a_lost_worker_of_dask_had_is_worked_out_again():
    distributed = pytest.importorskip("distributed")
    asked = {"models": "gpt2", "hardware": ["a100", "l4"], "phase": "decode", "context": range(1, 1000)}
    asked |= {"batch_size": range(1, 2000), "reduce": Summary(("time_s",), per=("hardware",))}
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        left = [cluster.workers[0].process.pid]

        def kill_one(*_):
            while left:
                os.kill(left.pop(), signal.SIGKILL)

        found = Engine.sweep(**asked, dask=cluster.scheduler_address, progress=kill_one)
    assert not left
    assert found == Engine.sweep(**asked, workers=1)
