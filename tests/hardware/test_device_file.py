"""A device of one's own: read, held to what is possible, and told what is unusual."""

import json
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from mlsysim import Engine
from mlsysim.errors import InvalidValue, MlsysimError
from mlsysim.hardware import Hardware
from mlsysim.hardware.device_file import read_device

GOOD = """
name = "our-gpu"
kind = "gpu"
source = "data sheet of 2026-03"
memory = "48 GB"
bandwidth = "960 GB/s"
[peaks]
bf16 = "210 TFLOP/s"
"bf16 sparse" = "420 TFLOP/s"
fp8 = "420 TFLOP/s"
"""


def check(path):
    command = [sys.executable, "-c", "from mlsysim.cli.app import main; main()", "hardware", "check", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def written(tmp_path, text):
    path = tmp_path / "device.toml"
    path.write_text(text)
    return path


def test_a_device_file_answers_as_a_packaged_device_would(tmp_path):
    path = written(tmp_path, GOOD)
    device = read_device(path)
    assert device.spec.peaks["bf16"].value == 210e12
    assert device.spec.bandwidth is not None
    assert device.spec.bandwidth.source == "data sheet of 2026-03"
    assert device.notes == ()
    solution = Engine().solve("llama-3.1-8b", path, phase="prefill", seq_len=1024)
    assert solution.time_s.value > 2 * 8e9 * 1024 / 210e12, "more than the arithmetic at the full peak"


def test_what_is_rare_is_said(tmp_path):
    path = written(tmp_path, GOOD.replace('fp8 = "420', 'fp8 = "900'))
    (note,) = read_device(path).notes
    assert note.code == "figure-unlikely"
    assert "4.29 times" in note.message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('bf16 = "210', 'bf16 = "420'), "is this the sparse one, twice the dense?"),
        (('memory = "48 GB"', 'memory = "48"'), "memory"),
        (('kind = "gpu"', 'kind = "gpuu"'), "did you mean gpu"),
        (('"960 GB/s"', '"960 EB/s"'), "is the unit right?"),
        (('name = "our-gpu"', 'name = "H100"'), "one that is not packaged"),
        (("bandwidth =", "bandwith ="), "bandwidth"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, change, told):
    with pytest.raises(MlsysimError) as caught:
        read_device(written(tmp_path, GOOD.replace(*change)))
    assert told in str(caught.value)


def test_a_peak_is_held_to_units_times_clock_times_operations(tmp_path):
    clock = '[clock]\nunits = 100\nboost = "2 GHz"\n[clock.operations]\nbf16 = {}\n'
    assert read_device(written(tmp_path, GOOD + clock.format(1050))).spec.name == "our-gpu"  # 210e12 exactly
    with pytest.raises(MlsysimError) as caught:
        read_device(written(tmp_path, GOOD + clock.format(512)))  # 102.4e12
    assert "at most 1.024e+14 FLOP/s by the clock" in str(caught.value)


def test_every_problem_of_a_file_is_told_at_once(tmp_path):
    text = 'name = 3\nkind = "gpuu"\nmemory = "48"\nbandwith = "1 GB/s"\n[peaks]\nbf17 = "1 TFLOP/s"\n'
    result = check(written(tmp_path, text))
    assert result.returncode == 2
    for field in ("name", "gpuu", "memory", "bandwith", "bf17"):
        assert field in result.stderr


def test_check_shows_the_device_and_its_notes(tmp_path):
    result = check(written(tmp_path, GOOD.replace("960 GB/s", "unknown")))
    assert result.returncode == 0
    assert "210" in result.stdout
    assert "no bandwidth is known" in result.stderr


def test_a_missing_bandwidth_is_refused_and_may_be_said_to_be_unknown(tmp_path):
    with pytest.raises(InvalidValue, match="bandwidth must be given as '960 GB/s', or as 'unknown'"):
        read_device(written(tmp_path, GOOD.replace('bandwidth = "960 GB/s"\n', "")))
    device = read_device(written(tmp_path, GOOD.replace("960 GB/s", "unknown")))
    assert device.spec.bandwidth is None
    assert device.notes[0].code == "figure-unlikely"


def test_a_printed_form_without_a_bandwidth_must_list_it_as_unknown(tmp_path):
    packaged = Hardware["hailo-8"]
    assert packaged.bandwidth is None
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**packaged.to_dict(), "name": "mine", "unknown": []}))
    with pytest.raises(InvalidValue, match="bandwidth must be given"):
        read_device(path)


def test_bits_of_memory_are_refused_and_bits_of_bandwidth_are_told(tmp_path):
    with pytest.raises(InvalidValue, match=r"memory must be in bytes, got '48 Gb'.*was 48 GB meant"):
        read_device(written(tmp_path, GOOD.replace('"48 GB"', '"48 Gb"')))
    notes = read_device(written(tmp_path, GOOD.replace("960 GB/s", "7680 Gb/s"))).notes
    assert [n.message for n in notes if "in bits" in n.message] == ["bandwidth 7680 Gb/s is in bits: 960 GB/s"]


@pytest.mark.parametrize("name", ["h100-sxm", "mi300x", "epyc-9654", "esp32-s3", "hailo-8", "tpu-v4"])
def test_what_is_printed_is_read_back_with_sources(tmp_path, name):
    packaged = Hardware[name]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**packaged.to_dict(), "name": "mine"}))
    again = read_device(path).spec
    for group in ("peaks", "other_peaks", "caches", "bandwidths", "clocks", "rates"):
        before, after = getattr(packaged, group), getattr(again, group)
        assert {k: f[:4] for k, f in after.items()} == {k: f[:4] for k, f in before.items()}, group
    for one in ("memory", "bandwidth", "flash", "units", "usd_per_hour", "usd_list"):
        before, after = getattr(packaged, one), getattr(again, one)
        assert (after and after[:4]) == (before and before[:4]), one
    for one in ("tdp_w", "idle_w", "dies"):
        before, after = getattr(packaged, one), getattr(again, one)
        assert (after and after.value) == (before and before.value), one


def test_a_device_in_the_project_is_found_by_the_name_of_its_file(tmp_path, monkeypatch):
    folder = tmp_path / ".mlsysim" / "hardware"
    folder.mkdir(parents=True)
    (folder / "lab-gpu.toml").write_text(GOOD.replace('name = "our-gpu"\n', ""))
    monkeypatch.chdir(tmp_path)
    assert Hardware["lab-gpu"].peak("bf16").value == 210e12
    assert Engine.solve("llama-3.1-8b", "lab-gpu").hardware == "lab-gpu"
    (folder / "lab-gpu.json").write_text("{}")
    with pytest.raises(InvalidValue, match=r"one file of the name 'lab-gpu', got 'lab-gpu.json and lab-gpu.toml'"):
        Hardware["lab-gpu"]
    (folder / "other.toml").write_text(GOOD)
    with pytest.raises(InvalidValue, match=r"name must be that of the file, 'other', or not given, got 'our-gpu'"):
        Hardware["other"]


def test_a_plug_in_brings_devices(monkeypatch):
    theirs = Hardware.H100.replace(name="their-gpu", bandwidth="4 TB/s")
    point = SimpleNamespace(load=lambda: lambda: [theirs])
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "mlsysim.hardware" else [])
    assert Hardware["their-gpu"] is theirs
