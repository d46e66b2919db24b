"""What is not known exactly, drawn: quantiles of answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Between, Engine, Interval, Normal, Triangular, Uniform
from mlsysim.errors import InvalidValue, UnknownName, UsageError
from mlsysim.sweep.distributions import distribution_of, draws_of

DECODE = {"phase": "decode", "precision": "fp16", "batch_size": 8, "context": 2048}


def quantiles(distribution, *levels):
    """Return quantiles of a distribution by a hundred thousand draws."""
    return np.quantile(distribution.at(draws_of(("x",), 100_000)["x"]), levels)


@pytest.mark.parametrize(
    ("distribution", "at_5", "at_50", "at_95"),
    [
        (Between(2.0, 8.0), 2.0, 4.0, 8.0),
        (Between(2.0, 8.0, 5.0), 2.0, 5.0, 8.0),
        (Uniform(1.0, 3.0), 1.1, 2.0, 2.9),
        (Normal(10.0, 2.0), 10 - 1.6449 * 2, 10.0, 10 + 1.6449 * 2),
        # The distribution function of a triangle from 0+ to 2 with mode 1 is x^2 / 2 up to the mode.
        (Triangular(1.0, 2.0, 3.0), 1 + math.sqrt(0.1), 2.0, 3 - math.sqrt(0.1)),
    ],
)
def test_quantiles_by_hand(distribution, at_5, at_50, at_95):
    assert quantiles(distribution, 0.05, 0.5, 0.95) == pytest.approx([at_5, at_50, at_95], rel=1e-3)


def test_draws_are_spread_evenly_and_the_same_each_time():
    draws = draws_of(("a", "b", "c"), 256)
    assert list(draws) == ["a", "b", "c"]
    for z in draws.values():
        share = np.sort([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in z])
        assert share == pytest.approx((np.arange(256) + 0.5) / 256)
    # Two of them together: each quarter of each holds a sixteenth of the points, of random ones 16 give or take 4.
    quarters = [np.searchsorted([-0.6745, 0.0, 0.6745], draws[name]) for name in ("a", "b")]
    assert np.histogram2d(*quarters, bins=4)[0] == pytest.approx(16, abs=2)
    assert np.array_equal(draws["b"], draws_of(("a", "b", "c"), 256)["b"])


@pytest.mark.parametrize(
    ("stated", "made"),
    [
        ({"low": 2, "high": "8"}, Between(2.0, 8.0)),
        ({"low": 2, "high": 8, "median": 5}, Between(2.0, 8.0, 5.0)),
        ({"normal": [0.4, 0.05]}, Normal(0.4, 0.05)),
        ({"uniform": [2, 3]}, Uniform(2.0, 3.0)),
        ({"triangular": [2, 2.5, 4]}, Triangular(2.0, 2.5, 4.0)),
        ({"from": 1, "to": 2, "count": 2}, None),
        ([1, 2], None),
    ],
)
def test_tables_state_distributions(stated, made):
    assert distribution_of(stated, "efficiency") == made


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"low": 3, "high": 2}, "between two numbers above 0, the lower first"),
        ({"low": 2}, "a distribution with low and high"),
        ({"low": 2, "high": 3, "mdian": 2.5}, "unknown key of efficiency 'mdian': did you mean median?"),
        ({"normal": [1]}, "normal = a list of 2 numbers and nothing else"),
        ({"normal": [1, 0]}, "efficiency.normal must be greater than 0, got 0"),
        ({"uniform": [3, 2]}, "uniform from a number above 0 to a larger one"),
        ({"triangular": [1, 4, 3]}, "triangular with low <= mode <= high"),
    ],
)
def test_distributions_that_cannot_be(stated, said):
    with pytest.raises((InvalidValue, UnknownName), match=said.replace("(", r"\(").replace("?", r"\?")):
        distribution_of(stated, "efficiency")


def test_a_drawn_eta_gives_the_quantiles_of_its_time():
    found = Engine.sweep(
        "llama-3.1-8b", "h100", seq_len=2048, precision="fp16", efficiency=Between(0.4, 0.6), keep=["time_s"]
    )
    flops = Engine.solve("llama-3.1-8b", "h100", seq_len=2048, precision="fp16", efficiency=0.5).flops
    # Compute-bound: time is FLOPs / (peak x eta), whose quantiles are those of eta the other way round.
    ends = [flops / (989e12 * eta) for eta in (0.6, math.sqrt(0.24), 0.4)]
    assert [found[name][0] for name in ("time_s_p5", "time_s", "time_s_p95")] == pytest.approx(ends, rel=0.01)


@pytest.mark.parametrize(("model", "hardware"), [("llama-3.1-8b", "h100"), ("mixtral-8x7b", "mi300x")])
def test_drawn_intervals_are_those_that_are_worked_out(model, hardware):
    """Two ways to one interval: ends in logarithms, and a thousand draws; both take errors as independent."""
    question = {**DECODE, "precision": "fp8"}
    price = Interval(2.5, 2.0, 3.5)
    one = Engine.solve(model, hardware, usd_per_hour=price, **question)
    drawn = Engine.sweep(
        model, hardware, usd_per_hour=Between(2.0, 3.5, 2.5), quantiles=(0.05, 0.95), draws=1024, **question
    )
    for name, interval in (("time_s", one.time_s), ("cost_usd", one.cost_usd), ("energy_j", one.energy_j)):
        found = [float(drawn[column][0]) for column in (f"{name}_p5", name, f"{name}_p95")]
        # The closed form squares and adds distances in logarithms, which skewed ends bear only nearly.
        assert found == pytest.approx([interval.low, interval.value, interval.high], rel=0.06)


def test_what_is_stated_alone_is_not_uncertain():
    found = Engine.sweep(
        "llama-3.1-8b", "h100", efficiency=0.4, usd_per_hour=3, quantiles=(0.05, 0.95), keep=["cost_usd"]
    )
    assert found["cost_usd_p5"][0] == found["cost_usd"][0] == found["cost_usd_p95"][0]


@settings(max_examples=15, deadline=None)
@given(
    batch=st.sampled_from([1, 2, 16, 64, 300]),
    context=st.integers(1, 16384),
    model=st.sampled_from(["llama-3.1-8b", "phi-4"]),
)
def test_quantiles_are_ordered_and_infeasible_points_have_none(batch, context, model):
    found = Engine.sweep(
        model, ["h100", "l4"], phase="decode", batch_size=batch, context=context, quantiles=(0.05, 0.95), draws=64
    )
    feasible = found["feasible"]
    for name in ("time_s", "throughput", "usd_per_million", "energy_j", "efficiency"):
        low, middle, high = (found[column] for column in (f"{name}_p5", name, f"{name}_p95"))
        assert (low[feasible] <= middle[feasible]).all()
        assert (middle[feasible] <= high[feasible]).all()
        assert np.isnan(middle[~feasible]).all()
    assert "time_low_s" not in found, "ends of intervals stand where nothing is drawn"


def test_a_size_that_is_drawn_is_whole_and_decides_the_memory():
    found = Engine.sweep(
        "llama-3.1-8b",
        "h100",
        phase="decode",
        batch_size=Uniform(10, 30),
        context=1000,
        efficiency=0.003,
        precision="fp16",
        keep=["kv_cache_bytes", "throughput"],
    )
    # 2 x 8 x 128 values in 32 layers, 2 bytes each, for 1,001 tokens of 20 sequences.
    assert found["kv_cache_bytes"][0] == pytest.approx(20 * 1001 * 2 * 8 * 128 * 32 * 2, rel=0.01)


def test_what_cannot_be_drawn_or_asked():
    with pytest.raises(UsageError, match="one number or a list where eta is predicted for this phase"):
        Engine.sweep("llama-3.1-8b", "h100", phase="training", devices=8, batch_size=Uniform(64, 128))
    with pytest.raises(InvalidValue, match="quantiles must be between 0 and 1, got 5"):
        Engine.sweep("llama-3.1-8b", "h100", quantiles=(5, 95))
    with pytest.raises(InvalidValue, match="draws must be a whole number of at least 16, got 4"):
        Engine.sweep("llama-3.1-8b", "h100", quantiles=(0.5,), draws=4)
    with pytest.raises(InvalidValue, match="efficiency must be in"):
        Engine.sweep("llama-3.1-8b", "h100", efficiency=Uniform(0.5, 1.5))
