import pytest

from mlsysim.calibration.live.attained import not_below
from mlsysim.hardware import Figure, HardwareSpec
from mlsysim.models import Models
from mlsysim.results import Interval

MODEL = Models.RESNET_50
FLOPS = 2 * MODEL.macs


def machine(peak, bandwidth, source="measured here: products"):
    return HardwareSpec(
        "here",
        "cpu",
        {"fp32": Figure(peak, source, "2026-01-01", "best at 512")},
        Figure(16e9, "", ""),
        Figure(bandwidth, source, "2026-01-01"),
        memory_class="ddr",
    )


def step(seconds):
    return Interval(seconds, 0.9 * seconds, 1.1 * seconds)


def test_a_machine_that_was_faster_than_its_network_is_left_as_it_is():
    here = machine(200e9, 40e9)
    assert not_below(here, MODEL, {1: step(1.0)}, "fp32") == (here, ())


def test_the_peak_is_raised_to_what_the_network_reached_by_hand():
    here, notes = not_below(machine(10e9, 40e9), MODEL, {1: step(0.1), 2: step(0.3)}, "fp32")
    assert here.peak("fp32").value == pytest.approx(FLOPS / 0.09)
    assert here.peak("fp32").source == "measured here: the network itself, faster than any matrix product"
    assert here.peak("fp32").note == "products: best at 512"
    assert notes == (
        "the network ran faster than the matrix products: the machine was busier then, and eta is an upper estimate",
    )


def test_bandwidth_is_raised_to_what_the_network_moved():
    slow = machine(200e9, 1e6)
    here, notes = not_below(slow, MODEL, {1: step(0.1)}, "fp32")
    assert here.bandwidth.value > slow.bandwidth.value
    assert "moved its weights and activations faster" in notes[0]
    assert not_below(here, MODEL, {1: step(0.1)}, "fp32") == (here, ())


def test_a_peak_from_paper_is_left_to_the_refusal():
    paper = machine(10e9, 1e6, source="https://example.org")
    assert not_below(paper, MODEL, {1: step(0.1)}, "fp32") == (paper, ())
