"""Where an eta stands among published ones."""

import json
import subprocess
import sys

import pytest

from mlsysim import Hardware
from mlsysim.efficiency.grade import ENOUGH, comparable, grade, ordinal, regimes_of
from mlsysim.errors import UsageError
from mlsysim.scenario import Scenario

TRAINING = {"phase": "training", "devices": 64, "batch_size": 512}


def test_a_better_eta_has_a_higher_percentile():
    s = Scenario.of("llama-3.1-70b", "h100", **TRAINING)
    low, middle, high = (grade(eta, s).percentile for eta in (0.05, 0.38, 0.6))
    assert low == 0
    assert low < middle < high
    assert high == 1


def test_the_percentile_is_counted_by_hand():
    s = Scenario.of("llama-3.1-70b", "h100", **TRAINING)
    g = grade(0.38, s)
    below = sum(e.attainment <= 0.38 / g.ceiling for e in g.among.rows)
    assert g.percentile == below / len(g.among.rows)
    assert g.best.attainment == max(e.attainment for e in g.among.rows)
    assert f"of {len(g.among.rows)} comparable runs" in g.sentence


def test_the_circle_widens_until_there_are_enough():
    near = comparable(regimes_of("training"), Hardware["h100-sxm"], "bf16")
    assert {e.hardware for e in near.rows} == {"h100-sxm"}
    far = comparable(regimes_of("decode"), Hardware["tpu-v7"])
    assert len(far.rows) >= ENOUGH
    assert "tpu-v7" not in far.alike


def test_an_eta_above_its_ceiling_is_said():
    assert "it cannot be" in grade(0.02, Scenario.of("llama-3.1-8b", "h100", phase="decode")).sentence


def test_words_for_regimes():
    assert regimes_of("decode") == ("decode-1", "decode-small", "decode-large")
    assert regimes_of("decode-1") == ("decode-1",)
    with pytest.raises(UsageError, match="decode"):
        regimes_of("decoding")


@pytest.mark.parametrize(
    ("n", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (44, "44th"), (112, "112th")]
)
def test_ordinals(n, text):
    assert ordinal(n) == text


def test_the_commands_speak_json():
    def run(*words):
        done = subprocess.run([sys.executable, "-m", "mlsysim", *words, "-o", "json"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found = run("grade", "--eta", "0.38", "--model", "llama-3.1-70b", "--hardware", "h100", "--phase", "training")
    assert 0 <= found["percentile"] <= 1
    assert found["n"] >= ENOUGH
    assert run("guide", "decode", "--hardware", "h100")["published_efficiency"]["n"] > 0
    assert run("evidence", "--where", "hardware=b200 and devices=1")[0]["source_url"].startswith("https://")


def test_a_wrong_eta_and_a_wrong_model_are_told_together():
    command = [sys.executable, "-m", "mlsysim", "grade", "--eta", "38", "--model", "llama-9", "--hardware", "h100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "2 problems" in done.stderr
    assert "38 % is 0.38" in done.stderr
