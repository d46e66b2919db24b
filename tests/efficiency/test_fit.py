"""The fit: planted parameters come back, unknown levels fall back, and taking rows away is what a refit gives."""

from types import SimpleNamespace

import numpy as np
import pytest

from mlsysim.efficiency import fit as fitting
from mlsysim.efficiency.case import Case
from mlsysim.efficiency.fit import Model, Sample
from mlsysim.efficiency.structure import Quantity, structure, value_of
from mlsysim.registry import read_table

QUANTITIES = {
    "share": Quantity("share", "1", 0.5, 0.5, 1.0, {"device": 0.3}, "share of peak"),
    "fixed": Quantity("fixed", "s", 0.01, 1.0, float("inf"), {}, "fixed time"),
}
DEVICES = {"a": 0.8, "b": 0.4, "c": 0.6, "d": 0.5}


def toy(x, p):
    return x["ideal_s"] / p["share"] + p["fixed"]


@pytest.fixture
def one_equation(monkeypatch):
    monkeypatch.setattr(fitting, "structure", lambda: QUANTITIES)
    monkeypatch.setattr(fitting, "EQUATIONS", {"toy": SimpleNamespace(NAMES=tuple(QUANTITIES), seconds=toy)})


def samples(noise=0.0):
    draw = np.random.default_rng(7)
    out = []
    for device, share in DEVICES.items():
        for ideal in np.geomspace(0.001, 1.0, 12):
            time = (ideal / share + 0.02) * np.exp(noise * draw.standard_normal())
            out.append(Sample(Case("toy", {"ideal_s": ideal}, {"device": device}), float(time), "toy", f"by {device}"))
    return out


def fitted(model, theta):
    offsets = {key: float(theta[i]) for i, key in enumerate(model.keys)}
    return {d: value_of(QUANTITIES["share"], offsets, {"device": d}) for d in (*DEVICES, "new")}, offsets


@pytest.mark.usefixtures("one_equation")
def test_planted_parameters_come_back():
    model = Model(samples(noise=0.02))
    theta = model.fit()[0]
    shares, offsets = fitted(model, theta)
    for device, share in DEVICES.items():
        assert shares[device] == pytest.approx(share, rel=0.05)  # three standard errors of twelve rows with 2 % noise
    assert value_of(QUANTITIES["fixed"], offsets, {}) == pytest.approx(0.02, rel=0.05)


@pytest.mark.usefixtures("one_equation")
def test_a_device_without_measurements_falls_back_to_all():
    model = Model(samples())
    shares, _ = fitted(model, model.fit()[0])
    middle = np.exp(np.mean(np.log(list(DEVICES.values()))))
    assert shares["new"] == pytest.approx(middle, rel=0.05)


@pytest.mark.usefixtures("one_equation")
def test_one_wild_row_bends_little():
    rows = samples(noise=0.02)
    wild = [*rows, rows[0]._replace(seconds=rows[0].seconds * 20, source="wild")]
    before, _ = fitted(Model(rows), Model(rows).fit()[0])
    after, _ = fitted(Model(wild), Model(wild).fit()[0])
    assert after["a"] == pytest.approx(before["a"], rel=0.05)


@pytest.mark.usefixtures("one_equation")
def test_taking_rows_away_is_what_a_fit_without_them_gives():
    model = Model(samples(noise=0.05))
    theta, spreads, _, _ = model.fit()
    held = np.arange(len(model.samples)) == 3
    quick = model.without(model.anchor(theta, spreads), held)
    slow = model.fit(~held, start=theta, spreads=spreads, steps=8)[0]
    assert quick == pytest.approx(slow, abs=5e-3)


@pytest.mark.usefixtures("one_equation")
def test_fitting_twice_gives_the_same():
    first, second = (Model(samples(noise=0.05)).fit()[0] for _ in range(2))
    assert (first == second).all()


def test_a_share_of_peak_is_never_more_than_its_bound():
    offsets = {("share", "", ""): 3.0}
    assert value_of(QUANTITIES["share"], offsets, {}) == 1.0


def test_what_differs_by_regime_is_told_with_what_sharing_it_would_lose():
    regimes = {"phase", "engine_phase", "class_phase", "kind"}
    specific = {name for name, q in structure().items() if regimes & set(q.effects)}
    told = {
        r["name"]: (float(r["loses"]), float(r["loses_held_out"]))
        for r in read_table("mlsysim.efficiency", "specific.tsv")
    }
    assert set(told) == specific
    assert all(max(lost) > 2.0 for lost in told.values()), told
