"""Priors and shares are found again where they were planted, and tails widen what few groups say."""

import math

import numpy as np
import pytest

from mlsysim.efficiency.deviations import LEAST_NOISE, Machine, Place, Point, Prior, covariances
from mlsysim.results import NORMAL_90
from mlsysim.validation.carrying import Pair, shares_of, tail_of_pairs, weights_of, worth_of_shares
from mlsysim.validation.deployments import GRID, Judged, best_priors

PRIOR = Prior(0.2, 0.3, 0.06, 1.0)
PRIORS = {"": PRIOR}


def machine(name):
    return Machine(name, "gpu", "V", "g", "hbm")


def point(name, size=1.0, slope=0.5):
    return Point(Place("r", machine(name), "m", "bf16", 1, "", (size,)), {"p": slope})


def pairs(share, count=400, noise=0.0, devices=20):
    """Pairs whose second residual is a share of the first, with noise."""
    rng = np.random.default_rng(1)
    found = []
    for i in range(count):
        a = rng.normal(0, 0.2)
        b = share * a + rng.normal(0, noise) if noise else share * a
        found.append(Pair("same-family/hbm", point("a"), point(f"b{i % devices}"), a, b, f"s{i % 7}"))
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_planted_share_is_found_again(share):
    known = pairs(share, noise=0.02)
    worth, weights = worth_of_shares(known, PRIORS), weights_of(known)
    found = shares_of(known, PRIORS, worth, weights, np.ones(len(known), bool))
    assert found["r", "same-family/hbm"].value == pytest.approx(share, abs=0.05)
    assert found["", "same-family"] == found["r", "same-family"]
    assert found["r", "same-family"].pairs == 400


def test_pairs_that_are_not_free_are_not_looked_at():
    known = [*pairs(0.8, 60), *pairs(0.0, 300)]
    free = np.arange(360) < 60
    found = shares_of(known, PRIORS, worth_of_shares(known, PRIORS), weights_of(known), free)
    assert found["r", "same-family"].value == pytest.approx(0.8, abs=0.05)


def test_a_tail_by_hand():
    # Nothing carried: errors are the second residuals themselves, ten of 0.1 to 1.0 with equal weights, in ten devices.
    known = [Pair("same-family/hbm", point("a"), point(f"b{i}"), 0.5, i / 10, "s") for i in range(1, 11)]
    own = 0.2**2 + 0.3**2 * 0.5**2 + 0.06**2
    student = float(np.interp(1 / 9, [0.1, 0.125], [1.812, 1.860]))
    expected = 0.9 / math.sqrt(own) / NORMAL_90 * student / NORMAL_90
    assert tail_of_pairs(known, PRIORS, 0.0, True) == pytest.approx(expected, rel=1e-6)
    # Of one source that the fit has not seen, nothing is known of others: Student's t with one degree of freedom.
    assert tail_of_pairs(known, PRIORS, 0.0, False) == pytest.approx(expected / student * 6.314, rel=1e-6)


def test_scale_and_shape_are_the_same_in_all_regimes_and_a_group_can_be_left_out():
    likes = {
        name: next(i for i, p in enumerate(GRID) if p[:3] == want)
        for name, want in {"a": (0.1, 0.0, 0.03), "b": (0.1, 0.0, 0.15), "c": (0.45, 0.3, 0.06)}.items()
    }

    def judged(regime, like, rows=50):
        worth = np.zeros(len(GRID))
        worth[likes[like]] = 5.0 * math.sqrt(rows)
        same = [i for i, p in enumerate(GRID) if p[:2] == GRID[likes[like]][:2]]
        worth[same] += 1.0
        return Judged(regime, ("source", "hardware", f"model-{like}"), worth, rows)

    found = best_priors([judged("x", "a"), judged("y", "b"), judged("z", "a")])
    assert {p[:2] for p in found.values()} == {(0.1, 0.0)}
    assert found["x"].local == 0.03
    assert found["y"].local == 0.15
    without = best_priors([judged("x", "a"), judged("x", "c", 20)], "model-a")
    assert without["x"][:3] == (0.45, 0.3, 0.06)


def test_what_is_left_of_a_deployment_is_as_wide_as_its_covariance_says():
    # 2,000 runs drawn from the covariance itself, in twos: nine in ten of the second lie inside a tail of one.
    rng = np.random.default_rng(0)
    two = [point("a", 1.0), point("a", 8.0, slope=0.9)]
    whole = covariances(two, two, PRIORS) + LEAST_NOISE**2 * np.eye(2)
    drawn = rng.multivariate_normal([0, 0], whole, 2000)
    share = whole[0, 1] / whole[0, 0]
    left = math.sqrt(whole[1, 1] - share * whole[0, 1])
    inside = np.abs(drawn[:, 1] - share * drawn[:, 0]) < NORMAL_90 * left
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
