"""Every packaged figure: typed, sourced, dated, and consistent with its neighbours."""

import dataclasses
import json
from itertools import groupby

import pytest

from mlsysim import Engine
from mlsysim.errors import UnknownName, UnsupportedPrecision
from mlsysim.hardware import Hardware
from mlsysim.hardware.check import ROUNDED, by_clock
from mlsysim.hardware.registry import DIMENSIONS, FIGURES
from mlsysim.registry import read_table
from mlsysim.units import scale

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


def test_every_unit_is_one_of_its_quantity():
    for row in read_table("mlsysim.hardware", "hardware.tsv"):
        assert scale(row["unit"], DIMENSIONS[row["quantity"]]) > 0, row


def test_rows_of_a_device_stand_together():
    owners = [row["device"] for row in read_table("mlsysim.hardware", "hardware.tsv")]
    assert [name for name, _ in groupby(owners)] == NAMES


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


@pytest.mark.parametrize("name", NAMES)
def test_peaks_are_what_the_clock_gives_or_say_why_not(name):
    device = Hardware[name]
    for label, peak in device.labelled_peaks.items():
        allowed = by_clock(device, label)
        if allowed and abs(peak.value / allowed - 1) > ROUNDED:
            assert peak.note, (label, peak.value / allowed)


def test_most_peaks_are_held_to_the_clock():
    peaks = [(d, label) for d in map(Hardware.__getitem__, NAMES) for label in d.labelled_peaks]
    held = [1 for d, label in peaks if by_clock(d, label)]
    assert len(held) > 0.5 * len(peaks)


def test_clock_times_units_times_operations_by_hand():
    h100 = Hardware.H100
    assert by_clock(h100, "fp16 dense") == pytest.approx(132 * 1.83e9 * 4096)  # its tensor cores are quoted at 1.83 GHz
    assert by_clock(h100, "fp32 dense") == pytest.approx(132 * 1.98e9 * 256)
    assert by_clock(h100, "fp16 sparse") == pytest.approx(2 * 132 * 1.83e9 * 4096)
    follows = h100.rates["fp16 dense"]._replace(source="derived: peak / (units x clock)")
    assert by_clock(h100_with(rates={"fp16 dense": follows}), "fp16 dense") is None
    assert by_clock(h100_with(rates={}), "fp16 dense") is None


@pytest.mark.parametrize("name", NAMES)
def test_eight_bits_are_twice_sixteen_or_the_row_says_why(name):
    device = Hardware[name]
    wide = device.peaks.get("bf16") or device.peaks.get("fp16")
    fp8 = device.peaks.get("fp8")
    if wide and fp8 and fp8.value != pytest.approx(2 * wide.value, rel=0.03):
        assert fp8.note or wide.note or device.note


@pytest.mark.parametrize("name", [n for n in NAMES if Hardware[n].kind == "gpu"])
def test_levels_of_accelerators_grow_outwards(name):
    device = Hardware[name]  # (processors have private second levels, together often larger than the shared third)
    sizes = [device.caches[level].value for level in ("l2", "l3") if level in device.caches]
    sizes.append(device.memory.value)
    assert sizes == sorted(sizes)


def test_generations_raise_the_ridge_point():
    ridges = [
        Hardware[n].peak("fp16").value / Hardware[n].bandwidth.value for n in ("v100", "a100-sxm-40gb", "h100-sxm")
    ]
    assert ridges == sorted(ridges)


def test_the_main_memory_is_not_taken_for_a_cache():
    d = Hardware["epyc-9654"]
    assert d.cache is d.caches["l3"]
    assert d.memory.of == "ddr"
    assert set(d.caches) >= {"l1", "l2", "l3"}


def test_of_several_memories_the_first_is_the_main_one():
    d = Hardware["sambanova-sn40l"]
    assert d.memory.of == d.bandwidth.of == "hbm"
    assert {"ddr", "sram"} <= set(d.caches)
    assert d.to_dict()["memory"][0]["level"] == "hbm"


def h100_with(**changes):
    return dataclasses.replace(Hardware.H100, **changes)


def test_a_miss_suggests_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown hardware 'h10': did you mean"):
        Hardware["h10"]
