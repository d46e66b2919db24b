"""Reductions against every point of the columns: the best, the front, quantiles, sums; and how their states merge."""

import copy
import functools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.sweep.fields import grid_of
from mlsysim.sweep.reduce import Pareto, Quantiles, Summary, Top
from mlsysim.sweep.work import Job

FIELDS = {
    "models": ["llama-3.1-8b", "llama-3.1-70b", "gpt2"],
    "hardware": ["h100", "a100"],
    "phase": "decode",
    "batch_size": [1, 2, 16, 64, 512],
    "context": [128, 2048, 16384],
    "devices": [1, 2],
}


@pytest.fixture(scope="module")
def columns():
    return Engine.sweep(**FIELDS)


def reduced(reduction, **fields):
    return Engine.sweep(**{**FIELDS, **fields}, reduce=reduction).kept[0]


def points_of(columns, at=slice(None)):
    """Return the coordinates of points, as tuples."""
    return list(zip(*(columns[name][at] for name in columns.coordinates), strict=True))


def test_there_is_something_infeasible_to_pass_over(columns):
    assert 0 < columns["feasible"].sum() < columns.points


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("count", [1, 7, 1000])
@pytest.mark.parametrize(
    ("where", "meets"),
    [
        ("", lambda _: True),
        ("tpot_s < 20 ms", lambda c: c["tpot_s"] < 0.02),
        ("tpot_s < 20 ms and hardware == 'h100'", lambda c: (c["tpot_s"] < 0.02) & (c["hardware"] == "h100-sxm")),
        ("devices == 2 or batch_size > 16", lambda c: (c["devices"] == 2) | (c["batch_size"] > 16)),
        ("tpot_s < 0", lambda _: False),
    ],
)
def test_the_best_are_those_that_a_stable_sort_finds(columns, count, largest, where, meets):
    best = reduced(Top(count, "usd_per_million", largest=largest, where=where))
    value = columns["usd_per_million"] * (-1 if largest else 1)
    order = np.argsort(value, kind="stable")
    usable = columns["feasible"] & meets(columns)
    wanted = order[usable[order]][:count]
    assert points_of(best) == points_of(columns, wanted)
    for name in ("time_s", "usd_per_million", "memory_bytes"):
        assert list(best[name]) == pytest.approx(list(columns[name][wanted]), rel=1e-12)


@pytest.mark.parametrize("per", [("hardware",), ("model", "devices"), ("context",), ("batch_size", "model")])
def test_the_best_of_each_group(columns, per):
    best = reduced(Top(2, "throughput", largest=True, per=per))
    wanted = {}
    for n in np.argsort(-columns["throughput"], kind="stable"):
        if columns["feasible"][n]:
            wanted.setdefault(tuple(columns[name][n] for name in per), []).append(n)
    found = {}
    for n, point in enumerate(points_of(best)):
        found.setdefault(tuple(best[name][n] for name in per), []).append(point)
    assert found == {group: points_of(columns, chosen[:2]) for group, chosen in wanted.items()}


def test_of_equals_the_earlier_ones_win():
    # Prices leave the time as it is: five points with each time, in the order in which the prices were given.
    prices = [5.0, 1.0, 4.0, 2.0, 3.0]
    best = Engine.sweep("gpt2", "a100", usd_per_hour=prices, batch_size=[2, 1], reduce=Top(7, "time_s")).kept[0]
    assert list(best["usd_per_hour"]) == [*prices, 5.0, 1.0]
    assert list(best["batch_size"]) == [1] * 5 + [2] * 2


@pytest.mark.parametrize(
    "objectives",
    [
        ("tpot_s", "usd_per_million"),
        ("tpot_s", "-throughput", "joules_per_item"),
        ("tpot_s", "-throughput", "usd_per_million", "memory_bytes"),
        ("-batch_size", "tpot_s"),
    ],
)
@pytest.mark.parametrize("where", ["", "model == 'llama-3.1-70b'"])
def test_the_front_is_what_no_point_beats(columns, objectives, where):
    front = reduced(Pareto(objectives, where=where))
    values = np.stack([-columns[n[1:]] if n[0] == "-" else columns[n] for n in objectives], axis=1).astype(float)
    usable = columns["feasible"] & ((columns["model"] == "llama-3.1-70b") if where else True)
    rows = np.flatnonzero(usable)
    beaten = [((values[rows] <= values[n]).all(1) & (values[rows] < values[n]).any(1)).any() for n in rows]
    assert sorted(points_of(front)) == sorted(points_of(columns, rows[~np.array(beaten)]))


@pytest.mark.parametrize("per", [(), ("hardware",)])
def test_quantiles_are_within_a_thousandth(columns, per):
    levels = (0.0, 0.05, 0.5, 0.9, 1.0)
    rows = reduced(Quantiles(("time_s", "usd_per_million"), at=levels, per=per))
    assert len(rows) == 2 * (2 if per else 1)
    for row in rows:
        usable = columns["feasible"] & ((columns["hardware"] == row["hardware"]) if per else True)
        values = columns[row["quantity"]][usable]
        assert row["points"] == len(values)
        for level in levels:
            exact = np.quantile(values, level, method="inverted_cdf")  # a bin is 1/1024 of a power of two wide
            assert row[f"p{100 * level:g}"] == pytest.approx(exact, rel=1 / 1024)


def test_zeros_count_in_quantiles_and_what_is_not_known_does_not():
    # A stated eta has no overhead in it; energy is not known of a device without a power rating.
    rows = Engine.sweep(
        "gpt2", "a100", efficiency=[0.1, 0.2], batch_size=[1, 2], reduce=Quantiles(("overhead_s", "carbon_kg"))
    ).kept[0]
    assert rows[0] == {"quantity": "overhead_s", "points": 4, "p5": 0.0, "p50": 0.0, "p95": 0.0}
    assert rows[1]["points"] == 0
    assert math.isnan(rows[1]["p50"])


@pytest.mark.parametrize("where", ["", "batch_size <= 2"])
def test_sums_are_those_of_the_columns(columns, where):
    rows = reduced(Summary(("time_s", "memory_bytes"), per=("devices", "model"), where=where))
    assert len(rows) == 2 * 6
    for row in rows:
        group = (columns["devices"] == row["devices"]) & (columns["model"] == row["model"])
        usable = columns["feasible"] & group & ((columns["batch_size"] <= 2) if where else True)
        values = columns[row["quantity"]][usable]
        assert row["points"] == len(values)
        found = [row[key] for key in ("min", "mean", "max")]
        if len(values):
            assert found == [values.min(), pytest.approx(values.mean(), rel=1e-12), values.max()]
        else:
            assert np.isnan(found).all()


def test_groups_and_conditions_know_what_was_not_given():
    # 2,048 tokens of context, one sequence and bf16 on one device are the defaults of a question.
    asked = {"models": "gpt2", "hardware": ["a100", "l4"], "phase": "decode", "context": None, "devices": None}
    per = ("precision", "devices", "batch_size", "context")
    where = "context == 1024 and devices <= 1 and batch_size < 2 and precision == 'bf16' and phase == 'decode'"
    row = reduced(Summary("time_s", per=per, where=where), **asked, batch_size=None)[0]
    assert [row[name] for name in per] == ["bf16", 1, 1, 1024]  # gpt2 is made for 1,024 tokens
    assert row["points"] == 2


def test_a_stated_eta_is_known_to_conditions_and_groups_beside_a_prediction():
    asked = {"models": "gpt2", "hardware": "a100", "batch_size": [1, 2], "efficiency": [None, 0.1, 0.2]}
    rows = Engine.sweep(**asked, reduce=Summary("time_s", per="efficiency_asked")).kept[0]
    assert [(row["efficiency_asked"], row["points"]) for row in rows] == [("predicted", 2), (0.1, 2), (0.2, 2)]
    best = Engine.sweep(**asked, reduce=Top(9, "time_s", where="efficiency_asked < 0.15")).kept[0]
    assert list(best["efficiency_asked"]) == ["0.1", "0.1"]


@pytest.mark.parametrize("reduction", [Top(1, "time_s_p95"), Top(1, "time_s", where="time_s_p95 < 1 s")])
def test_a_quantile_that_nothing_is_drawn_for_is_refused(reduction):
    with pytest.raises(InvalidValue, match=r"nothing is drawn for time_s_p95: ask for quantiles .*, or take time_s"):
        reduced(reduction)
    assert Engine.sweep("gpt2", "a100", quantiles=[0.95], draws=16, reduce=reduction).kept[0].points == 1


def test_groups_of_whole_numbers_are_whole_numbers():
    rows = reduced(Summary("time_s", per="devices"))
    assert [row["devices"] for row in rows] == [1, 2]


def test_one_name_may_stand_alone():
    assert Summary("time_s", per="hardware") == Summary(("time_s",), per=("hardware",))
    assert Quantiles("time_s", at=[0.5]) == Quantiles(("time_s",), at=(0.5,))
    assert Top(1, "time_s", per="model").per == ("model",)
    assert Pareto(["time_s", "energy_j"]).objectives == ("time_s", "energy_j")


REDUCTIONS = [
    Top(5, "time_s", per=("hardware",)),
    Top(3, "throughput", largest=True, where="batch_size > 1"),
    Pareto(("tpot_s", "-throughput", "usd_per_million")),
    Quantiles(("time_s", "energy_j"), per=("model",)),
    Summary(("time_s",), per=("devices",)),
]


@pytest.fixture(scope="module")
def states():
    """Return the state of each reduction for each block of the sweep."""
    fields = {name: value for name, value in FIELDS.items() if name not in {"models", "hardware"}}
    grid = grid_of(FIELDS["models"], FIELDS["hardware"], fields)
    job = Job(grid, (), tuple(REDUCTIONS))
    task = next(grid.tasks())
    return [job(task._replace(boxes=(box,))).states for box in task.boxes]


@settings(deadline=None, max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("which", range(len(REDUCTIONS)))
def test_parts_merge_in_any_grouping(states, which, data):
    reduction = REDUCTIONS[which]
    parts = [copy.deepcopy(state[which]) for state in states]
    whole = functools.reduce(reduction.merged, copy.deepcopy(parts))
    while len(parts) > 1:
        n = data.draw(st.integers(0, len(parts) - 2))
        parts[n : n + 2] = [reduction.merged(pickle.loads(pickle.dumps(parts[n])), parts[n + 1])]
    found, expected = reduction.rows(parts[0]), reduction.rows(whole)
    if isinstance(reduction, Summary):
        expected = [{**row, "mean": pytest.approx(row["mean"], rel=1e-12)} for row in expected]
    assert found == expected


def test_several_at_once_are_those_one_by_one():
    together = Engine.sweep(**FIELDS, reduce=REDUCTIONS)
    assert together.points == together.planned == 3 * 2 * 5 * 3 * 2
    for reduction, kept in zip(REDUCTIONS, together.kept, strict=True):
        alone = reduced(reduction)
        if isinstance(kept, list):
            assert kept == alone
        else:
            assert points_of(kept) == points_of(alone)


def test_where_nothing_is_feasible_nothing_wins():
    big = {"models": "llama-3.1-70b", "hardware": "l4", "phase": "decode", "batch_size": [1, 2]}
    kept = Engine.sweep(
        **big, reduce=[Top(3, "time_s"), Pareto(("time_s", "flops")), Summary("time_s"), Quantiles("time_s")]
    ).kept
    assert [columns.points for columns in kept[:2]] == [0, 0]
    assert list(kept[0]["time_s"]) == []
    assert repr(kept[0]).startswith("<Columns of 0 points")
    assert [rows[0]["points"] for rows in kept[2:]] == [0, 0]
    assert all(math.isnan(rows[0][key]) for rows, key in zip(kept[2:], ("mean", "p50"), strict=True))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Top(0, "time_s"), "top must be a whole number of at least 1, got 0"),
        (lambda: Top(True, "time_s"), "top must be a whole number of at least 1, got True"),
        (lambda: Top(1, "tim_s"), "'tim_s': did you mean time_s"),
        (lambda: Top(1, "bound"), "'bound'"),
        (lambda: Top(1, "time_s", per=("hardwar",)), "'hardwar': did you mean hardware?"),
        (lambda: Top(1, "time_s", per=("time_s",)), "'time_s'"),
        (lambda: Top(1, "time_s", where="tpto_s < 1"), "'tpto_s': did you mean tpot_s"),
        (lambda: Pareto(("time_s",)), "pareto must be two objectives or more"),
        (lambda: Pareto(("time_s", "--flops")), "'-flops'"),
        (lambda: Quantiles("time_s", at=(50,)), "quantiles must be levels from 0 to 1, got 50"),
        (lambda: Quantiles("time_s", at=(math.nan,)), "quantiles must be levels from 0 to 1, got nan"),
        (lambda: Quantiles("time_s", at=("p50",)), "quantiles must be levels from 0 to 1, got 'p50'"),
        (lambda: Summary("tim_s"), "'tim_s': did you mean time_s"),
    ],
)
def test_what_is_refused(make, said):
    with pytest.raises((InvalidValue, UnknownName)) as refused:
        make()
    assert said in str(refused.value)
