"""The demonstration: its page, its picture, its arithmetic."""

import importlib.util
import re
import subprocess
import sys

import pytest

from mlsysim.calibration.live.onnx import Dropped, Measurement
from mlsysim.hardware import Figure, HardwareSpec
from mlsysim.hardware.probe import Probe
from mlsysim.models import Models
from mlsysim.report.first_light import PRECISION, _not_below_what_was_reached, calibrate_two, what_if
from mlsysim.results import Interval

pytest.importorskip("matplotlib", reason="the page needs the extra 'plot'")
pytest.importorskip("onnxruntime", reason="the run needs the extra 'measure'")
MODEL = Models.RESNET_50


def machine(peak=200e9, source="test"):
    figure = Figure(peak, source, "2026-01-01")
    return HardwareSpec(
        "here", "cpu", {PRECISION: figure}, Figure(16e9, "", ""), Figure(40e9, "", ""), memory_class="ddr"
    )


def run(batch, seconds):
    step = Interval(seconds, 0.98 * seconds, 1.02 * seconds)
    return Measurement("test", batch, 2, {}, "test", (seconds,), Dropped(0, ""), step, step.reciprocal(batch))


def test_two_batch_sizes_give_attainment_and_overhead_by_hand():
    # 8.178 GFLOP an image at 200 GFLOP/s take 40.9 ms; at half of that rate 81.8 ms, and 20 ms are fixed.
    floor = 2 * MODEL.macs / 200e9
    runs = {1: run(1, 0.02 + 2 * floor), 2: run(2, 0.02 + 4 * floor)}
    c = calibrate_two(MODEL, machine(), runs)
    assert c.overhead_s == pytest.approx(0.02, rel=1e-6)
    larger = what_if(MODEL, machine(), c)[0][1]
    # The rest is carried as a deviation from the equations, whose shape is not quite the floor's.
    assert larger.time_s.value == pytest.approx(0.02 + 64 * floor, rel=0.01)


def test_what_if_names_every_device_and_says_that_little_carries_over():
    c = calibrate_two(MODEL, machine(), {1: run(1, 0.1), 2: run(2, 0.19)})
    asked = what_if(MODEL, machine(), c)
    assert [q.split(",")[0] for q, _ in asked[1:]] == ["a100-sxm-80gb", "h100-sxm", "b200", "l4", "raspberry-pi-5"]
    for question, result in asked[1:5]:
        assert "little-carries-over" in [n.code for n in result.notes], question
        assert result.breakdown_s["overhead"] > 0  # an accelerator launches its operators


def test_a_network_faster_than_the_probe_raises_the_peak_and_says_so():
    slow = Probe(machine(10e9, "measured here: matrix products"), (), (), ())
    raised = _not_below_what_was_reached(slow, MODEL, {1: run(1, 0.1)})
    assert raised.hardware.peak(PRECISION).value == pytest.approx(2 * MODEL.macs / 0.098)
    assert "busier" in raised.notes[0]
    quick = Probe(machine(), (), (), ())
    assert _not_below_what_was_reached(quick, MODEL, {1: run(1, 0.1)}) is quick


@pytest.mark.skipif(not importlib.util.find_spec("rapidocr"), reason="the network ships in rapidocr, not installed")
def test_the_command_leaves_a_page_that_needs_nothing_else(tmp_path):
    command = "from mlsysim.cli.app import main; main()"
    folder = tmp_path / "report"
    arguments = [sys.executable, "-c", command, "demo", "--seconds", "2", "--report", str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Check: batch 4 was predicted at .* ms and measured at .* ms", done.stdout)
    page = (folder / "first-light.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert not re.search(r'(src|href)="http', page)
    for part in ("Where it stands under the roofline", "What if", "The check", "How each number was got"):
        assert part in page
    assert (folder / "roofline.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in folder.iterdir()) == ["first-light.html", "roofline.png"]
