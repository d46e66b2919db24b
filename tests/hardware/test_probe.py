import importlib
import importlib.util
from datetime import date

import pytest

from mlsysim import Engine
from mlsysim.errors import InvalidValue, MissingExtra, UnknownName
from mlsysim.hardware import Figure, Hardware, HardwareSpec
from mlsysim.hardware.probe import (
    BandwidthSample,
    GemmSample,
    _notes,
    accelerator,
    bandwidth,
    machine,
    probe,
    save,
    usable_cores,
)

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
    assert found.hardware.bandwidth.value == max(s.bytes_per_s for s in found.bandwidth_samples if s.level == "memory")
    kernels = {s.kernel for s in found.bandwidth_samples if s.level == "memory"}
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
        bandwidth._KERNELS[kernel][0](a, b, c)
    # copy: c = a = 1; scale: b = 3 c = 3; add: c = a + b = 4; triad: a = b + 3 c = 15
    assert (a[-1], b[-1], c[-1]) == (15.0, 3.0, 4.0)
    assert bandwidth._KERNELS["read"][0](a, b, c) == 15.0


def test_parts_cover_an_array_once():
    assert bandwidth._parts(10, 3) == [slice(0, 3), slice(3, 6), slice(6, 10)]


def test_an_unsteady_measurement_is_told():
    steady = GemmSample("fp32", "numpy", 2, 512, 1e11, 0.02)
    unsteady = BandwidthSample("copy", 2, 2**27, 3e10, 0.4)
    notes = list(_notes(None, (steady,), (unsteady,)))
    assert notes[0].startswith("1 of 2 measurements vary by more than 15% over repeats, up to 40%")
    assert not [n for n in _notes(None, (steady,), (unsteady._replace(spread=0.1),)) if "vary" in n]


def test_the_time_budget_must_be_positive():
    with pytest.raises(InvalidValue, match="seconds must be greater than 0, got 0"):
        probe(seconds=0)


def test_threadpoolctl_missing_is_told_with_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtra) as caught:
        probe(seconds=1)
    assert str(caught.value) == "probing this machine needs threadpoolctl: pip install 'mlsysim[measure]'"


@needs_threadpoolctl
def test_what_was_measured_is_a_device_by_name(result, tmp_path, monkeypatch):
    monkeypatch.setenv("MLSYSIM_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match="`mlsysim probe` measures this machine"):
        Hardware["here"]
    save(result[0])
    here = Hardware["here"]
    measured = result[0].hardware
    assert {p: f[:4] for p, f in here.peaks.items()} == {p: f[:4] for p, f in measured.peaks.items()}
    assert here.bandwidth[:4] == measured.bandwidth[:4]
    assert here.bandwidth.source.startswith("measured here")
    assert Engine.solve("resnet-50", "here").hardware == "here"
    with pytest.raises(InvalidValue, match="name must be one that is not packaged, got 'h100'"):
        save(result[0], "h100")
    with pytest.raises(InvalidValue, match=r"name must be letters, digits and hyphens, got '\.\./x'"):
        save(result[0], "../x")


@needs_threadpoolctl
def test_every_cache_level_is_measured(result):
    levels = {c.level for c in machine.caches()}
    assert {s.level for s in result[0].bandwidth_samples} == {"memory", *levels}
    assert set(result[0].hardware.bandwidths) == levels
    assert {s.library for s in result[0].overhead_samples} >= {"numpy"}
    assert all(0 < s.seconds < 0.01 for s in result[0].overhead_samples)


def test_the_dot_products_read_what_they_say():
    np = pytest.importorskip("numpy")
    call, moved = bandwidth._dots(2**18)
    out = call()
    assert moved == out.shape[0] * 2 * 2**18
    assert out.shape[0] * out.shape[1] > 500  # below, numpy keeps other threads waiting
    assert np.all(out == 2**16 / 4)


def test_a_rate_above_nominal_is_explained_and_not_clipped():
    rates = {"fp32 dense": Figure(32.0, "a manual", "")}
    here = HardwareSpec(
        "here", "cpu", {"fp32": Figure(130e9, "measured here", "")}, None, None,
        clocks={"boost": Figure(2.6e9, "", "")}, units=Figure(1.0, "", ""), rates=rates,
    )  # fmt: skip
    # 1 x 2.6 GHz x 32 = 83.2 GFLOP/s; 130 / 83.2 = 1.5625; 2.6 x 1.5625 = 4.06 GHz
    told = next(n for n in _notes(here, (), ()) if "nominal" in n)
    assert told.startswith("fp32 attains 1.56 times the nominal 83.2 GFLOP/s of the reported 2.6 GHz")
    assert "ran at 4.06 GHz at least" in told


def test_becoming_slower_is_told():
    slowed = GemmSample("fp32", "numpy", 2, 512, 1e11, 0.02, 0.2)
    assert any("became slower while they ran, up to 20%" in n for n in _notes(None, (slowed,), ()))


@pytest.mark.parametrize(
    ("title", "memory", "name"),
    [
        ("NVIDIA H100 80GB HBM3", 85.0e9, "h100-sxm"),
        ("NVIDIA H100 PCIe", 85.0e9, "h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", 42.4e9, "a100-sxm-40gb"),
        ("NVIDIA A100 80GB PCIe", 85.0e9, "a100-pcie-80gb"),
        ("NVIDIA GeForce RTX 4090", 25.3e9, "rtx-4090"),
        ("Tesla T4", 15.8e9, "t4"),
        ("NVIDIA L40S", 47.7e9, "l40s"),
        ("AMD Instinct MI300X", 206e9, "mi300x"),
    ],
)
def test_a_gpu_is_recognised_by_its_words_and_memory(title, memory, name):
    assert accelerator.recognised(title, memory).name == name


def test_an_unknown_gpu_is_not_guessed():
    assert accelerator.recognised("Some GPU 9000", 24e9) is None
