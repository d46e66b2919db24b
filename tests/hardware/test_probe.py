import importlib
import importlib.util
from datetime import date

import pytest

from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.hardware.probe import BandwidthSample, GemmSample, probe, usable_cores

module = importlib.import_module("mlsysim.hardware.probe")
needs_threadpoolctl = pytest.mark.skipif(
    importlib.util.find_spec("threadpoolctl") is None, reason="threadpoolctl is not installed"
)


@pytest.fixture(scope="module")
def result():
    told = []
    return probe(seconds=1, progress=lambda label, share: told.append((label, share))), told


@needs_threadpoolctl
def test_the_machine_becomes_a_device_whose_figures_say_how_they_were_measured(result):
    here = result[0].hardware
    assert (here.name, here.kind) == ("here", "cpu")
    assert {"fp32", "fp64"} <= set(here.peaks)
    for figure in (*here.peaks.values(), here.bandwidth):
        assert figure.value > 0
        assert figure.source.startswith("measured here: best of ")
        assert "spread" in figure.note
        date.fromisoformat(figure.retrieved)
    assert here.memory.value > 0
    assert here.title


@needs_threadpoolctl
def test_every_figure_is_the_best_of_its_samples(result):
    found = result[0]
    threads = max(s.threads for s in found.samples)
    for precision, figure in found.hardware.peaks.items():
        rates = [s.flops_per_s for s in found.samples if s.precision == precision and s.threads == threads]
        assert figure.value == max(rates)
    assert found.hardware.bandwidth.value == max(s.bytes_per_s for s in found.bandwidth_samples)
    kernels = {s.kernel for s in found.bandwidth_samples}
    assert kernels == {"copy", "scale", "add", "triad", "read"}
    assert {s.threads for s in found.samples} == {1, usable_cores()}


@needs_threadpoolctl
def test_progress_goes_from_0_to_1(result):
    shares = [share for _, share in result[1]]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_the_kernels_compute_what_their_names_say():
    np = pytest.importorskip("numpy")
    a, b, c = np.full(100_000, 1.0), np.full(100_000, 2.0), np.full(100_000, 5.0)
    for kernel in ("copy", "scale", "add", "triad"):
        module._KERNELS[kernel][0](a, b, c)
    # copy: c = a = 1; scale: b = 3 c = 3; add: c = a + b = 4; triad: a = b + 3 c = 15
    assert (a[-1], b[-1], c[-1]) == (15.0, 3.0, 4.0)
    assert module._KERNELS["read"][0](a, b, c) == 15.0


def test_parts_cover_an_array_once():
    assert module._parts(10, 3) == [slice(0, 3), slice(3, 6), slice(6, 10)]


def test_an_unsteady_measurement_is_told():
    steady = GemmSample("fp32", "numpy", 2, 512, 1e11, 0.02)
    unsteady = BandwidthSample("copy", 2, 2**27, 3e10, 0.4)
    notes = list(module._notes((steady,), (unsteady,)))
    assert notes[0].startswith("1 of 2 measurements vary by more than 15% over repeats, up to 40%")
    assert not [n for n in module._notes((steady,), (unsteady._replace(spread=0.1),)) if "vary" in n]


def test_the_time_budget_must_be_positive():
    with pytest.raises(InvalidValue, match="seconds must be greater than 0, got 0"):
        probe(seconds=0)


def test_threadpoolctl_missing_is_told_with_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtra) as caught:
        probe(seconds=1)
    assert str(caught.value) == "probing this machine needs threadpoolctl: pip install 'mlsysim[measure]'"
