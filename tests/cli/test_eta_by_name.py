"""A saved calibration, called by its name where an eta is asked for."""

import json
from pathlib import Path

import pytest
from conftest import output_of

from mlsysim import calibrate
from mlsysim.calibration import Profile, store


@pytest.fixture
def _saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a calibration as ``served`` where commands look for it."""
    monkeypatch.chdir(tmp_path)
    found = calibrate(throughput=1500, model="llama-3.1-8b", hardware="h100", phase="decode", batch_size=32)
    store.save(Profile((found,)), "served")


ASKED = "--phase decode --batch 32 --efficiency served"


@pytest.mark.usefixtures("_saved")
@pytest.mark.parametrize(
    ("line", "time_s"),
    [
        ("solve llama-3.1-8b h100", lambda found: found["time_s"]["value"]),
        ("compare llama-3.1-8b --on h100,h200", lambda found: found[0]["time_s"]["value"]),
        ("sensitivity llama-3.1-8b h100", lambda found: found["value"]["value"]),
        ("choose llama-3.1-8b --on h100", lambda found: found["options"][0]["time_s"]["value"]),
        ("sweep --model llama-3.1-8b --on h100", lambda found: found[0]["time_s"]),
    ],
)
def test_a_saved_calibration_is_an_eta_by_its_name(line, time_s):
    got, code = output_of(f"mlsysim {line} {ASKED} -o json")
    assert code == 0
    found = json.JSONDecoder().raw_decode(got)[0]
    assert time_s(found) == pytest.approx(32 / 1500, rel=1e-9)


@pytest.mark.usefixtures("_saved")
def test_what_is_neither_an_eta_nor_a_calibration():
    for word, said in (
        (
            "srved",
            "efficiency must be a number in (0, 1], or the name of a calibration, got 'srved'; did you mean served?",
        ),
        ("served@2", "revision must be a number from 1 to 1"),
        ("served,0.3", "efficiency must be a number in (0, 1], got 'served,0.3'"),
        ("1.4", "efficiency must be in (0, 1]"),
    ):
        got, code = output_of(f"mlsysim solve llama-3.1-8b h100 --efficiency {word}")
        assert code == 2
        assert said in got
    got, code = output_of(f"mlsysim sweep --model llama-3.1-8b --on h100 {ASKED},0.01,predicted -o json")
    times = [row["time_s"] for row in json.JSONDecoder().raw_decode(got)[0]]
    assert len(set(times)) == 3
    assert times[0] == pytest.approx(32 / 1500)


def test_no_calibration_is_saved_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    got, code = output_of("mlsysim solve llama-3.1-8b h100 --efficiency fast")
    assert code == 2
    assert "got 'fast'; none is saved: `mlsysim calibrate ... --save NAME`" in got
