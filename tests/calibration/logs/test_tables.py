"""Exports of trackers, plain CSV and bare numbers: the files of real programs, and tables with mistakes in them."""

import gzip
import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.calibration.logs import read_log
from mlsysim.calibration.logs.bare import bare
from mlsysim.calibration.logs.metrics import metric_of
from mlsysim.errors import InvalidValue

FILES = Path(__file__).parent / "files"


def read(tmp_path, text, name="run.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_log([path])


def refused(tmp_path, text, name="run.csv"):
    with pytest.raises(InvalidValue) as caught:
        read(tmp_path, text, name)
    return str(caught.value).replace(str(tmp_path) + "/", "")


def only(log):
    (reading,) = log.readings
    return reading


# --- trackers


def test_a_scalar_of_tensorboard_is_what_its_tag_says():
    log = read_log([FILES / "run-run-tag-perf_step_time.csv"])
    reading = only(log)
    assert (log.format, reading.quantity, reading.phase, reading.steps) == (
        "TensorBoard scalar",
        "time_s",
        "training",
        True,
    )
    assert reading.values[:2] == (0.18313352763652802, 0.037180863320827484)
    assert len(reading.values) == 20
    assert log.notes == (("metric-used", "'perf_step_time' is taken as seconds a step"),)


def test_any_other_scalar_has_a_clock():
    log = read_log([FILES / "run-run-tag-loss.json"])
    triples = json.loads((FILES / "run-run-tag-loss.json").read_text())
    expected = [b[0] - a[0] for a, b in itertools.pairwise(triples)]
    assert only(log).values == pytest.approx(expected)
    assert log.notes[0].code == "clock-used"


def test_the_clock_is_shared_among_the_steps_between_two_rows(tmp_path):
    log = read(tmp_path, "Wall time,Step,Value\n100.0,0,3\n101.0,10,2\n103.0,20,1\n", "tag-loss.csv")
    assert only(log).values == pytest.approx((0.1, 0.2))


def test_a_tensorboard_file_that_breaks_off(tmp_path):
    log = read(tmp_path, '[[100.0, 0, 3.0], [101.0, 1, "NaN"], [102.5, 2, 1.0], [103.', "tag-loss.json")
    assert only(log).values == (1.0, 1.5)
    assert log.left_out == ((0, "the file breaks off: the rows before that are used"),)


def test_a_metric_file_of_mlflow():
    reading = only(read_log([FILES / "step_time_ms"]))
    assert reading.quantity == "time_s"
    assert reading.values[:2] == pytest.approx((0.004924981000158368, 0.002573897000047509))


def test_mlflow_history_as_json_and_as_a_table(tmp_path):
    rows = [{"key": "tokens_per_second", "value": 100.0 + i, "timestamp": 1e12 + i, "step": i} for i in range(3)]
    as_json = read(tmp_path, json.dumps({"metrics": rows}), "history.json")
    table = "key,value,step,timestamp\n" + "".join("{key},{value},{step},{timestamp}\n".format(**r) for r in rows)
    for log in (as_json, read(tmp_path, table)):
        assert log.format == "MLflow export"
        assert (only(log).values, only(log).unit) == ((100.0, 101.0, 102.0), "tokens/s")


HISTORY = [
    {"_step": 0, "_runtime": 10.0, "_timestamp": 1.7e9, "train/loss": 3.0},
    {"_step": 1, "_runtime": 12.0, "_timestamp": 1.7e9 + 2, "train/loss": 2.0},
    {"_step": 2, "_runtime": 20.0, "_timestamp": 1.7e9 + 10, "eval/loss": 2.0},
    {"_step": 3, "_runtime": 22.0, "_timestamp": 1.7e9 + 12, "train/loss": 1.0},
]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.jsonl.gz"])
def test_a_history_of_wandb_without_a_metric_of_speed(tmp_path, name):
    lines = "".join(json.dumps(row) + "\n" for row in HISTORY)
    columns = ["_step", "_runtime", "_timestamp", "train/loss", "eval/loss"]
    cells = [[str(row.get(c, "")) for c in columns] for row in HISTORY]
    table = "\n".join(",".join(row) for row in [columns, *cells])
    text = {"rows.json": json.dumps(HISTORY), "rows.csv": table}.get(name, lines)
    log = read(tmp_path, gzip.compress(text.encode()) if name.endswith("gz") else text, name)
    assert log.format == "W&B export"
    assert only(log).values == (2.0, 5.0)  # 10 s over the two steps to the next row of training
    assert only(log).pauses == {1: "evaluation"}


def test_the_best_metric_of_a_history_is_used(tmp_path):
    rows = [
        {"_step": i, "_runtime": i * 9.0, "mfu": 40, "tokens_per_sec": 1e4, "step_time_ms": 120 + i} for i in (1, 2)
    ]
    assert only(read(tmp_path, "\n".join(map(json.dumps, rows)), "h.jsonl")).values == (0.121, 0.122)
    for row in rows:
        del row["step_time_ms"]
    reading = only(read(tmp_path, "\n".join(map(json.dumps, rows)), "h.jsonl"))
    assert (reading.quantity, reading.values, reading.unit) == ("throughput", (1e4, 1e4), "tokens/s")
    for row in rows:
        del row["tokens_per_sec"]
    reading = only(read(tmp_path, "\n".join(map(json.dumps, rows)), "h.jsonl"))
    assert (reading.quantity, reading.values) == ("efficiency", (0.4, 0.4))  # in percent, though its name says nothing


@pytest.mark.parametrize(
    ("rate", "noise", "tokens"),
    [
        ("tokens_per_sec", 0.0, 131_072),
        ("tokens_per_sec", 0.3, 0),  # no one number of tokens: a mean of another window
        ("device/tokens_per_sec", 0.0, 0),  # of how many devices nobody says
        ("samples_per_sec", 0.0, 0),
    ],
)
def test_time_and_rate_of_a_history_say_the_tokens_of_a_step(tmp_path, rate, noise, tokens):
    times = [1.9 + 0.01 * (i % 5) for i in range(20)]
    rows = [f"{i},{131_072 / t * (1 + noise * (i % 3)):.3f},{t}" for i, t in enumerate(times)]
    log = read(tmp_path, "\n".join([f"_step,{rate},step_time", *rows]))
    assert (only(log).quantity, only(log).tokens) == ("time_s", tokens)
    assert only(log).values == pytest.approx(times)
    told = ", and times tokens a second as 131,072 tokens a step of all devices" if tokens else ""
    assert log.notes[0].message == f"'step_time' is taken as seconds a step{told}"


def test_a_history_with_nan_and_a_row_that_is_not_whole(tmp_path):
    text = (
        '{"_step": 0, "_runtime": 1, "step_time": NaN}\n{"_step": 1, "_runtime": 2, "step_time": 0.5}\n{"_step": 2, "_r'
    )
    log = read(tmp_path, text, "h.jsonl")
    assert only(log).values == (0.5,)
    assert log.left_out == (
        (1, "time_s is nan, which no step takes"),
        (0, "the file breaks off: the rows before that are used"),
    )


def test_mistakes_in_a_history_are_refused(tmp_path):
    rows = "_step,_runtime,step_time\n{}\n"
    assert refused(tmp_path, rows.format("5,1,0.5\n2,2,0.5")).startswith(
        "run.csv, line 3: step must be the log of one run, whose step numbers rise (they had reached 5), got 2.0"
    )
    assert refused(tmp_path, rows.format("1,9,0.5\n2,3,0.5")) == (
        "run.csv, line 3: time must be no earlier than the line before (9.000000 s), got 3.0; the clock goes backwards"
    )
    assert refused(tmp_path, "_step,_runtime,loss\n1,2,3\n") == (
        "log must be an export with times of steps, got 'run.csv'; it needs a metric such as step_time,"
        " tokens_per_second or mfu, or at least two rows with a step and a time"
    )


def test_a_chart_of_several_runs_is_refused_and_one_of_one_is_read(tmp_path):
    header = '"Step","fast-1 - perf/step_time","fast-1 - perf/step_time__MIN","fast-1 - perf/step_time__MAX"'
    assert only(read(tmp_path, header + "\n1,0.5,0.1,0.9\n2,0.6,0.1,0.9\n")).values == (0.5, 0.6)
    assert refused(tmp_path, header + ',"test-2 - perf/step_time"\n1,0.5,0.1,0.9,0.7\n') == (
        "log must be an export of one run, got 'fast-1, test-2'; export one run, or give one file for each"
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train_step_timing in s", ("time_s", 1.0, "", False)),
        ("iteration-time", ("time_s", 1.0, "", False)),
        ("time_metrics/end_to_end(s)", ("time_s", 1.0, "", False)),
        ("perf/step_time_ms", ("time_s", 1e-3, "", False)),
        ("seconds_per_step", ("time_s", 1.0, "", False)),
        ("throughput(tps)", ("throughput", 1.0, "tokens/s", True)),
        ("throughput/tokens_per_sec", ("throughput", 1.0, "tokens/s", False)),
        ("throughput/device/tokens_per_sec", ("throughput", 1.0, "tokens/s", True)),
        ("tok/s", ("throughput", 1.0, "tokens/s", False)),
        ("train/device/samples_per_sec", ("throughput", 1.0, "samples/s", True)),
        ("images/sec", ("throughput", 1.0, "samples/s", False)),
        ("mfu(%)", ("efficiency", 0.01, "", False)),
        ("device/mfu", ("efficiency", 1.0, "", False)),
        ("eval/step_time", None),
        ("data_time_per_step", None),
        ("throughput/device/tokens_per_second.avg", None),
        ("train/train_tokens_per_second", None),
        ("loss", None),
        ("timestep", None),
        ("train/tokens_seen", None),
    ],
)
def test_what_names_of_metrics_say(name, found):
    metric = metric_of(name)
    assert (metric and (metric.quantity, metric.scale, metric.unit, metric.per_device)) == found


# --- plain CSV

TABLE = """phase,batch_size,seq_len,time_ms,precision,gpus,model,hardware
training,8,2048,12.5,bf16,2,llama-3.1-8b,h100-sxm
training,8,2048,"12,600",bf16,2,llama-3.1-8b,h100-sxm
training,16,2048,25 us,bf16,2,llama-3.1-8b,h100-sxm
"""


def test_rows_under_the_same_conditions_are_repeats(tmp_path):
    log = read(tmp_path, TABLE)
    first, second = log.readings
    assert (log.format, log.model, log.hardware, log.left_out) == ("CSV", "llama-3.1-8b", "h100-sxm", ())
    assert (first.phase, first.quantity, first.steps) == ("training", "time_s", False)
    assert first.values == pytest.approx((0.0125, 12.6))
    assert first.conditions == {"batch_size": 8, "seq_len": 2048, "precision": "bf16", "devices": 2}
    assert (second.values, second.lines) == ((pytest.approx(25e-6),), (4,))
    assert [r.label for r in log.readings] == ["batch_size 8", "batch_size 16"]


def test_a_column_of_step_numbers_makes_rows_steps(tmp_path):
    log = read(tmp_path, "step,tokens_per_second,mfu\n1,100,40%\n2,110,40%\n3,0,40%\n4,nan,1%\n4,120,1%\n4,130,1%\n")
    reading = only(log)
    assert (reading.quantity, reading.values, reading.steps) == ("throughput", (100, 110, 120), True)
    assert log.left_out == (
        (4, "tokens_per_second must be greater than 0, got '0 tokens/s'"),
        (5, "tokens_per_second must be a finite number, got 'nan'"),
        (7, "a step number once more"),
    )


def test_steps_that_start_again_are_refused(tmp_path):
    assert refused(tmp_path, "step,time_s\n1,1\n2,1\n1,1\n").startswith(
        "run.csv, line 4: step must be the log of one run"
    )


@pytest.mark.parametrize(
    ("text", "quantity", "values", "unit"),
    [
        ("throughput\n1200\n", "throughput", (1200,), ""),
        ("throughput\n1200 tok/s\n", "throughput", (1200,), "tokens/s"),
        ("throughput (images/s)\n85\n", "throughput", (85,), "samples/s"),
        ("throughput [tok/s]\n85\n", "throughput", (85,), "tokens/s"),
        ("latency (ms)\n85\n", "time_s", (0.085,), ""),
        ("time_s\n12 ms\n", "time_s", (0.012,), ""),
        ("# made by hand\n\ntime_s\n0.5\n", "time_s", (0.5,), ""),
        ("\ufeffMFU\n0.42\n", "efficiency", (0.42,), ""),
        ("mfu_pct\n42\n", "efficiency", (0.42,), ""),
        ("efficiency\n42 %\n", "efficiency", (0.42,), ""),
        ("batch_size\ttime_s\n8\t0.5\n", "time_s", (0.5,), ""),
        ("\ttime_s\n0\t0.5\n", "time_s", (0.5,), ""),
        ("batch_size;time_s\n8;0.5\n", "time_s", (0.5,), ""),
        ("time_s,throughput\n0.5,100\n", "time_s", (0.5,), ""),
        ("mfu,throughput\n0.5,100\n", "throughput", (100,), ""),
    ],
)
def test_units_stand_in_the_header_or_in_the_cells(tmp_path, text, quantity, values, unit):
    reading = only(read(tmp_path, text))
    assert (reading.quantity, reading.unit) == (quantity, unit)
    assert reading.values == pytest.approx(values)


def test_throughput_of_one_device_is_told(tmp_path):
    assert only(read(tmp_path, "tokens_per_second_per_gpu\n85\n")).per_device


def test_rows_with_mistakes_are_left_out_with_line_and_field(tmp_path):
    rows = "batch_size,time_s\n8,0.5\n8,\n8,-1\n8.5,1\n8,1 GB\n8,fast\n"
    log = read(tmp_path, rows)
    assert only(log).values == (0.5,)
    assert log.left_out == (
        (3, "nothing is measured in it"),
        (4, "time_s must be greater than 0, got '-1'"),
        (5, "batch_size must be a whole number of at least 1, got 8.5; the nearest is 8"),
        (6, "time_s must be in s, got '1 GB'; GB is a unit of B; try '12 ms', '30 days'"),
        (7, "time_s must be a positive number or a quantity such as '12 ms', '30 days', got 'fast'"),
    )


def test_a_cell_that_is_no_number_by_its_length_is_left_out(tmp_path):
    log = read(tmp_path, "time_s,comment\n1,x\n" + "9" * 5000 + "-9,x\n2," + "y" * 5000 + "\n")
    assert only(log).values == (1, 2)
    assert log.left_out == ((3, "time_s must be at most 200 characters, got '99999999999999999999...'"),)


def test_a_decimal_comma_is_not_taken_for_thousands(tmp_path):
    assert refused(tmp_path, "batch_size;time_s\n8;0,5\n") == (
        "log must be a log with at least one usable step, got 'run.csv'; line 2: time_s must be a number with a decimal"
        " point, got '0,5'; write 0.5"
    )


def test_unknown_columns_are_named_with_the_nearest_known(tmp_path):
    log = read(tmp_path, "time_s,bacth_size,comment\n1,8,x\n")
    assert log.notes == (
        (
            "columns-unknown",
            "not known, and not used: 'bacth_size', 'comment'; did you mean batch_size for 'bacth_size'?",
        ),
    )


def test_a_table_without_a_measurement_is_refused_with_a_guess(tmp_path):
    assert refused(tmp_path, "tme_s,batch_size\n1,100\n") == (
        "log must be a table with a column time_s, throughput or efficiency, got 'run.csv'; did you mean time_s for"
        " 'tme_s'?"
    )
    assert refused(tmp_path, "batch_size,seq_len\n1,100\n") == (
        "log must be a table with a column time_s, throughput or efficiency, got 'run.csv'; its columns are batch_size,"
        " seq_len"
    )


def test_a_table_of_two_models_is_refused(tmp_path):
    assert refused(tmp_path, "time_s,model\n1,a\n1,b\n") == (
        "log must be a table of one model, got 'a, b'; calibrate each by itself"
    )


def test_an_empty_table_and_an_open_quote_are_refused(tmp_path):
    assert refused(tmp_path, "time_s\n") == (
        "log must be a log with at least one usable step, got 'run.csv'; no step lines"
    )
    text = 'time_s\n"' + "1\n" * 200_000
    assert "must be a row of a table" in refused(tmp_path, text)


def test_the_csv_of_lightning_is_a_table():
    log = read_log([FILES / "lightning_metrics.csv"])
    reading = only(log)
    assert (log.format, reading.unit, reading.per_device) == ("CSV", "samples/s", True)
    assert reading.values[0] == 1651.9287851727581


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_times_come_back_as_written(tmp_path_factory, times):
    text = "time_s\n" + "".join(f"{t!r}\n" for t in times)
    assert only(read(tmp_path_factory.mktemp("t"), text)).values == tuple(times)


def test_several_files_are_read_as_one_log(tmp_path):
    paths = []
    for batch in (1, 2):
        paths.append(tmp_path / f"{batch}.csv")
        paths[-1].write_text(f"batch_size,time_s\n{batch},{batch}\n")
    assert [r.conditions["batch_size"] for r in read_log(paths).readings] == [1, 2]


# --- a bare number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2100", ("throughput", "2100")),
        ("2,100 tok/s", ("throughput", "2,100 tok/s")),
        (" 85 images/s ", ("throughput", "85 images/s")),
        ("30 fps", ("throughput", "30 fps")),
        ("0.42", ("efficiency", "0.42")),
        (".42", ("efficiency", ".42")),
        ("42 %", ("efficiency", "42 %")),
        ("12 ms", ("time_s", "12 ms")),
        ("1.5e-3s", ("time_s", "1.5e-3s")),
        ("run.log", None),
        ("2024.csv", None),
        ("80 GB", None),
        ("", None),
        ("-5", None),
        ("nan", None),
        ("1.2.3", None),
        ("9" * 100_000 + "!", None),
    ],
)
def test_a_number_in_place_of_a_log(text, found):
    assert bare(text) == found


@given(st.floats(1e-9, 1e12))
def test_any_number_is_an_efficiency_below_1_and_a_throughput_from_1(number):
    quantity, text = bare(repr(number))
    assert quantity == ("efficiency" if number < 1 else "throughput")
    assert math.isclose(float(text), number)
