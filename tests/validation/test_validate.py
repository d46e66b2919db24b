"""``mlsysim validate``: what is scored, what is refused, and that no row is lost."""

import csv
import json
import math
import subprocess
import sys

import pytest

from mlsysim.efficiency.deviations import LEAST_NOISE, Point, covariance
from mlsysim.efficiency.equations import case_of
from mlsysim.efficiency.predict import slopes_of
from mlsysim.errors import UsageError
from mlsysim.evidence.base import packaged
from mlsysim.evidence.tables import COLUMNS, read_measurements
from mlsysim.validation.handed_over import DRAWS
from mlsysim.validation.places import place_of
from mlsysim.validation.score import Predicted, quantile, score
from mlsysim.validation.transferred import ALONE_WORDS
from mlsysim.validation.validate import predictions_csv, validate

DECODE = {
    "id": "x-1",
    "source_url": "https://example.org/a",
    "source_locator": "line 1",
    "published": "2025-01",
    "model": "llama-3-8b",
    "quant": "fp16",
    "compute_precision": "fp16",
    "kv_precision": "fp16",
    "engine": "llama.cpp",
    "engine_version": "2024-05",
    "hardware": "rtx-4090",
    "num_devices": "1",
    "tp": "1",
    "pp": "1",
    "regime": "decode_b1",
    "batch": "1",
    "input_len": "0",
    "output_len": "512",
    "metric": "output_tokens_per_s_total",
    "value": "54.0",
    "provenance": "read",
}
TRAINING = {
    "id": "t-1",
    "model": "Llama-3-8B",
    "family": "llama3-8b",
    "params_b": "8.03",
    "active_params_b": "8.03",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "8",
    "ffn": "14336",
    "vocab": "128256",
    "seq_len": "8192",
    "global_batch": "128",
    "micro_batch": "1",
    "hardware": "h100-sxm",
    "num_devices": "8",
    "precision": "bf16",
    "framework": "Megatron-LM",
    "metric": "tokens_per_s_per_device",
    "value": "8000",
    "task": "pretrain",
}
SERVING = {
    "id": "s-1",
    "silicon_data_source": "silicon_concurrency=16; measured=2026-01-01",
    "backend": "trtllm",
    "backend_version": "1.0.0",
    "model_path": "meta-llama/Llama-3.1-8B-Instruct",
    "system": "h100_sxm",
    "precision": "fp8",
    "mode": "agg",
    "isl": "1024",
    "osl": "1024",
    "batch_size": "16",
    "tp_size": "1",
    "pp_size": "1",
    "attention_dp_size": "1",
    "moe_tp_size": "1",
    "moe_ep_size": "1",
    "silicon_ttft_ms": "100",
    "silicon_tpot_ms": "6.5",
}


def written(folder, kind, *rows, header=None):
    path = folder / f"{kind}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header or COLUMNS[kind], restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(("kind", "row"), [("inference", DECODE), ("training", TRAINING), ("serving", SERVING)])
def test_each_kind_of_table_is_recognised_and_answered(tmp_path, kind, row):
    report = validate(written(tmp_path, kind, row))
    assert report.kind == kind
    assert (report.total.rows, report.total.answered, report.total.refused) == (1, 1, {})
    assert report.total.median_ape < 0.5


def test_groups_are_named_by_the_table_or_by_what_was_timed(tmp_path):
    assert [g.name for g in validate(written(tmp_path, "inference", DECODE)).groups] == ["decode_b1"]
    assert [g.name for g in validate(written(tmp_path, "serving", SERVING)).groups] == ["tpot-dense", "ttft-dense"]
    assert [g.name for g in validate(written(tmp_path, "training", TRAINING)).groups] == ["training-dense"]


def test_a_prediction_does_not_depend_on_the_measured_value(tmp_path):
    one = validate(written(tmp_path, "inference", DECODE)).predicted[0]
    other = validate(written(tmp_path, "inference", {**DECODE, "value": "27.0"})).predicted[0]
    assert one.value == pytest.approx(other.value)
    assert one.measurement.value == 54.0


BAD = {
    "a unit in value: write the number alone": {"value": "54 tok/s"},
    "value is not finite": {"value": "nan"},
    "value is not positive": {"value": "-3"},
    "value is not a number": {"value": "fast"},
    "no value": {"value": ""},
    "hardware not in the registry: rtx-9999": {"hardware": "rtx-9999"},
    "model not in the registry: llama-99": {"model": "llama-99"},
    "marked as suspect at the source": {"notes": "SUSPECT: ten times slower"},
    "regime 'dreaming' is not known": {"regime": "dreaming"},
    "an id that came before": {},
    "num_devices is not a whole number": {"num_devices": "1.5"},
}


def test_bad_rows_are_refused_one_by_one_and_the_rest_is_used(tmp_path):
    rows = [DECODE] + [
        {**DECODE, **change, "id": f"bad-{i}" if change else "x-1"} for i, change in enumerate(BAD.values())
    ]
    report = validate(written(tmp_path, "inference", *rows))
    assert report.total.answered == 1
    assert report.total.rows == len(rows)
    assert set(report.total.refused) == set(BAD)


def test_an_eta_above_1_is_refused(tmp_path):
    prefill = {**DECODE, "regime": "prefill", "input_len": "512", "metric": "total_tokens_per_s", "value": "90000"}
    report = validate(written(tmp_path, "inference", prefill))
    assert list(report.total.refused) == ["eta above 1: more arithmetic than the devices have"]


def test_a_header_that_is_no_table_says_the_nearest_columns(tmp_path):
    path = written(tmp_path, "inference", DECODE, header=[*COLUMNS["inference"], "hardwear"])
    with pytest.raises(UsageError, match=r"'hardwear' \(nearest: hardware"):
        validate(path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="that of a known table"):
        validate(tmp_path / "other.csv")
    with pytest.raises(UsageError, match="a CSV file of measurements"):
        validate(tmp_path / "missing.csv")


def test_options_are_checked(tmp_path):
    path = written(tmp_path, "inference", DECODE)
    with pytest.raises(UsageError, match=r"unknown split 'colour' \(known: source, hardware, model, engine, locked\)"):
        validate(path, split="colour")
    with pytest.raises(UsageError, match="a number of rows, 0 or more"):
        validate(path, calibrate=-1)


def test_a_score_by_hand(tmp_path):
    m = read_measurements(written(tmp_path, "inference", DECODE)).measurements[0]  # a rate: 54 tokens a second
    times = [m.seconds * f for f in (1.0, 0.8, 2.0)]  # rates of 54, 67.5 and 27: errors 0, .25, .5
    s = score("g", [Predicted(m, t, 0.9 * t, 1.1 * t) for t in times], [])
    assert s.median_ape == pytest.approx(0.25)
    assert s.mean_ape == pytest.approx(0.25)
    assert s.p90_ape == pytest.approx(0.45)
    assert s.bias == pytest.approx(0.0)
    assert s.coverage90 == pytest.approx(1 / 3)
    assert s.width90 == pytest.approx(1.1 / 0.9 - 1)
    assert quantile([1.0, 2.0, 4.0], 0.75) == 3.0


def given(tmp_path, count, value="27.0"):
    rows = [{**DECODE, "id": f"x-{i}", "output_len": str(256 + i), "value": value} for i in range(count)]
    return written(tmp_path, "inference", *rows)


def test_rows_given_as_measurements_move_the_others(tmp_path):
    path = given(tmp_path, 6)
    before, after = validate(path), validate(path, calibrate=2)
    assert sum(p.given for p in after.predicted) == 2 * DRAWS
    assert len(after.predicted) == 6 * DRAWS
    assert after.total.median_ape < before.total.median_ape / 3
    again = validate(path, calibrate=2)
    assert [p.measurement.id for p in again.predicted] == [p.measurement.id for p in after.predicted]


def test_arbitrary_rows_differ_by_draw_and_suggested_ones_look_at_no_measured_value(tmp_path):
    drawn = [p.measurement.id for p in validate(given(tmp_path, 6), calibrate=1).predicted if p.given]
    assert len(set(drawn)) > 1
    one = validate(given(tmp_path, 6), calibrate=1, choose="suggested")
    other = validate(given(tmp_path, 6, value="54.0"), calibrate=1, choose="suggested")
    chosen = [[p.measurement.id for p in report.predicted if p.given] for report in (one, other)]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 1
    with pytest.raises(UsageError, match=r"unknown choice 'any' \(known: arbitrary, suggested\)"):
        validate(given(tmp_path, 2), calibrate=1, choose="any")


def test_one_row_given_by_hand(tmp_path):
    # Two runs of nearly the same size: what the second is moved by is covariance over variance of the first.
    before = validate(given(tmp_path, 2)).predicted
    after = validate(given(tmp_path, 2), calibrate=1, choose="suggested").predicted
    (known,), (moved,) = ([p for p in after if p.given is g] for g in (True, False))
    start = {p.measurement.id: p.seconds for p in before}
    residual = math.log(known.measurement.seconds / start[known.measurement.id])
    points = {p.measurement.id: point_of(p.measurement) for p in before}
    a, b = points[known.measurement.id], points[moved.measurement.id]
    share = covariance(a, b) / (covariance(a, a) + LEAST_NOISE**2)
    assert moved.seconds == pytest.approx(start[moved.measurement.id] * math.exp(share * residual), rel=1e-9)


def point_of(m):
    return Point(place_of(m), slopes_of(((case_of(m.question, m.setup), 1.0),)))


PAIR = {
    "pair_id": "tp-1",
    "kind": "strict",
    "regime": "decode_b1",
    "row_a": "",
    "row_b": "",
}


def pairs_table(tmp_path, *rows):
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, PAIR)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def pair():
    """Two packaged runs that differ in the device alone."""
    found = {}
    for m in packaged():
        place = place_of(m)
        if m.regime == "decode_b1" and place.machine.memory_class == "gddr":
            other = found.setdefault((m.source, m.setup, place._replace(machine=None)), m)
            if place_of(other).machine != place.machine:
                return other, m
    raise AssertionError


def test_a_pair_is_predicted_both_ways_by_a_fit_without_its_device(tmp_path, pair, monkeypatch):
    few = tuple(m for m in packaged() if m.regime == "decode_b1")  # of all, a fit takes half a minute
    monkeypatch.setattr("mlsysim.validation.transferred.packaged", lambda: few)
    row = {**PAIR, "row_a": pair[0].id, "row_b": pair[1].id}
    report = validate(pairs_table(tmp_path, row, {**row, "pair_id": "tp-2", "row_b": "gone"}, {**row, "kind": "other"}))
    assert report.kind == "pairs"
    assert report.total.answered == 1
    assert report.total.refused == {"a run that is not among the packaged ones": 1}
    names = [g.name for g in report.groups if g.answered]
    way = "decode_b1: gddr -> gddr"
    assert sorted(names) == sorted(way + b + c for b in ("", ", read backwards") for c in ("", ALONE_WORDS))
    by_name = {p.measurement.group: p for p in report.predicted}
    forward = by_name[way]
    assert forward.measurement.seconds == pair[1].seconds
    assert forward.low < forward.seconds < forward.high
    assert by_name[way + ALONE_WORDS].seconds != forward.seconds
    for field, value in (("split", "source"), ("calibrate", 1)):
        with pytest.raises(UsageError, match=f"{field} must be left out for a table of pairs"):
            validate(pairs_table(tmp_path, row), **{field: value})


def test_predictions_are_written_row_by_row_with_the_refused(tmp_path):
    report = validate(written(tmp_path, "inference", DECODE, {**DECODE, "id": "x-2", "value": "nan"}))
    lines = list(csv.DictReader(predictions_csv(report).splitlines()))
    assert [line["id"] for line in lines] == ["x-1", "x-2"]
    assert float(lines[0]["low"]) < float(lines[0]["predicted"]) < float(lines[0]["high"])
    assert lines[1]["refused"] == "value is not finite"


def test_the_command_prints_json_with_the_keys_of_the_contract(tmp_path):
    path = written(tmp_path, "inference", DECODE)
    command = [
        sys.executable,
        "-m",
        "mlsysim",
        "validate",
        str(path),
        "--json",
        "--predictions",
        str(tmp_path / "out.csv"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    keys = {"rows", "answered", "refused", "median_ape", "mean_ape", "p90_ape", "bias", "coverage90"}
    assert keys <= set(found)
    assert keys | {"name"} <= set(found["groups"][0])
    assert math.isfinite(found["median_ape"])
    assert (tmp_path / "out.csv").read_text().startswith("id,group,measured,predicted")
