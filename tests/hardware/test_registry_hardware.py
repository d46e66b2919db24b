"""Every packaged figure: typed, sourced, dated, and consistent with its neighbours."""

import json

import pytest

from mlsysim import Engine
from mlsysim.errors import UnknownName, UnsupportedPrecision
from mlsysim.hardware import Hardware
from mlsysim.hardware.registry import FIGURES

NAMES = list(Hardware)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source_and_a_date(name):
    device = Hardware[name]
    assert device.peaks
    for row in FIGURES.of(name):
        figure = row[2]
        assert figure.source, row
        assert figure.retrieved[:4] == "2026", row
        assert figure.value > 0, row


@pytest.mark.parametrize("name", NAMES)
def test_sparse_is_twice_dense_where_both_are_given(name):
    device = Hardware[name]
    for label, figure in device.other_peaks.items():
        precision, structure = label.split(" ", 1)
        if structure == "sparse" and precision in device.peaks and not figure.note:
            assert figure.value == pytest.approx(2 * device.peaks[precision].value, rel=0.01), label


UNPUBLISHED = {"hailo-8", "coral-edge-tpu", "myriad-x"}  # their vendors print no bandwidth of their memory


@pytest.mark.parametrize("name", [n for n in NAMES if Hardware[n].kind != "mcu" and n not in UNPUBLISHED])
def test_accelerators_have_memory_and_bandwidth(name):
    assert Hardware[name].memory
    assert Hardware[name].bandwidth


@pytest.mark.parametrize("name", sorted(UNPUBLISHED))
def test_a_bandwidth_that_is_not_published_is_said_to_be_unknown(name):
    assert "bandwidth" in Hardware[name].unknown
    result = Engine.solve("mobilenet-v2", name)
    assert "bandwidth-unknown" in {note.code for note in result.notes}
    assert "inf" not in str(result)
    json.dumps(result.to_dict(), allow_nan=False)


# Dense peaks [FLOP/s] and bandwidths [B/s] as printed by the vendors.
PUBLISHED = [
    ("a100-sxm-80gb", "bf16", 312e12, 2.039e12),
    ("h100-sxm", "fp16", 989e12, 3.35e12),
    ("h200-sxm", "bf16", 989e12, 4.8e12),
    ("l4", "bf16", 121e12, 300e9),
    ("v100-sxm-32gb", "fp16", 125e12, 900e9),
    ("tpu-v4", "bf16", 275e12, 1228e9),
    ("mi300x", "bf16", 1307.4e12, 5.3e12),
]


@pytest.mark.parametrize(("name", "precision", "peak", "bandwidth"), PUBLISHED)
def test_published_figures(name, precision, peak, bandwidth):
    device = Hardware[name]
    assert device.peak(precision).value == pytest.approx(peak, rel=0.005)
    assert device.bandwidth.value == pytest.approx(
        bandwidth, rel=0.03
    )  # vendors round, and memory clocks differ by revision


def test_unsupported_precision_is_never_replaced():
    with pytest.raises(UnsupportedPrecision, match=r"precision 'fp8' has no peak on a100-sxm-80gb: choose .*bf16"):
        Hardware.A100.peak("fp8")


def test_sparse_peaks_have_a_name_of_their_own():
    assert Hardware.H100.peak("fp8-sparse").value == pytest.approx(2 * Hardware.H100.peak("fp8").value)
    with pytest.raises(UnsupportedPrecision, match="precision 'fp16-sparse' has no peak on v100"):
        Hardware.V100.peak("fp16-sparse")


def test_defaults_prefer_bf16_then_fp16():
    assert Hardware.H100.default_precision == "bf16"
    assert Hardware.V100.default_precision == "fp16"


def test_replace_states_another_figure():
    faster = Hardware.H100.replace(bandwidth="4 TB/s")
    assert faster.bandwidth.value == 4e12
    assert faster.bandwidth.source == "stated"
    assert faster.name == "h100-sxm (changed)"
    assert Hardware.H100.replace(name="mine", memory="96 GB").name == "mine"
    assert Hardware.H100.bandwidth.value == pytest.approx(3.35e12)
    with pytest.raises(UnknownName, match="unknown figure 'bandwith': did you mean bandwidth"):
        Hardware.H100.replace(bandwith="4 TB/s")


def test_a_miss_suggests_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown hardware 'h10': did you mean"):
        Hardware["h10"]
