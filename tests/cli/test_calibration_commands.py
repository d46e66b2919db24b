"""``calibrate``, ``calibrations``, ``transfer`` and ``whatif`` as a person meets them in an empty folder."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlsysim import calibrate

LOGS = Path(__file__).parents[1] / "calibration" / "logs" / "files"
SERVER = str(LOGS / "vllm_server.log")
DECODE = ("--model", "llama-3.1-8b", "--hardware", "h100", "--phase", "decode", "--batch", "32")
TRAINING = ("--model", "gpt2", "--hardware", "a100", "--phase", "training", "--batch", "64", "--seq-len", "1024")
OF_CALIBRATE = {
    *("efficiency", "attainment", "ceiling", "convention", "peak_flops", "flops_per_item", "throughput"),
    *("overhead_s", "conditions", "defaults", "notes"),
}


def table(folder, name, rows):
    """Write a CSV of steps and return its path."""
    path = folder / name
    path.write_text("step,time_s\n" + "\n".join(f"{n},{t}" for n, t in enumerate(rows, 1)) + "\n")
    return str(path)


def test_a_log_as_json_keeps_its_contract(run, tmp_path):
    times = [3.0] * 10 + [1.0, 1.01] * 20
    times[25] = "nan"
    done = run("calibrate", table(tmp_path, "steps.csv", times), *TRAINING, "-o", "json")
    assert done.code == 0
    assert set(done.data) >= OF_CALIBRATE
    assert done.data["format"] == "CSV"
    assert done.data["samples"] == 49
    state = done.data["steady_state"]
    assert {"method", "dropped", "kept", "block"} <= set(state)
    assert (state["dropped"], state["kept"], state["method"]) == (10, 39, "MSER-5 (White 1997)")
    assert [set(part) for part in done.data["left_out"]] == [{"line", "reason"}]
    assert done.data["left_out"][0]["line"] == 27
    assert "[left-out] line 27: " in done.err
    by_hand = calibrate(
        time_s=1.0, model="gpt2", hardware="a100", phase="training", batch_size=64, seq_len=1024
    ).efficiency.value
    assert done.data["efficiency"]["value"] == pytest.approx(by_hand, rel=1e-9)


def test_several_points_of_a_log_as_json(run):
    done = run("calibrate", SERVER, "--hardware", "h100", "-o", "json")
    assert {"format", "steady_state", "samples", "left_out", "points", *OF_CALIBRATE} <= set(done.data)
    assert [p["conditions"]["batch_size"] for p in done.data["points"]] == [8, 16]
    assert all(OF_CALIBRATE | {"format", "steady_state", "samples", "left_out"} <= set(p) for p in done.data["points"])


@pytest.mark.parametrize("form", ["table", "csv", "markdown"])
def test_several_points_in_every_format(run, form):
    done = run("calibrate", SERVER, "--hardware", "h100", "-o", form)
    assert done.code == 0
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert [row["conditions.batch_size"] for row in rows] == ["8", "16"]
    else:
        assert "8 requests at once" in done.out
        assert "16 requests at once" in done.out


@pytest.mark.parametrize(
    ("text", "option"),
    [("2100 tok/s", "--throughput"), ("2100", "--throughput"), ("12 ms", "--time"), ("0.03", "--mfu")],
)
def test_a_bare_number_is_a_measurement(run, text, option):
    bare, stated = run("calibrate", text, *DECODE, "-o", "json"), run("calibrate", option, text, *DECODE, "-o", "json")
    assert bare.code == 0
    assert bare.data == stated.data


def test_bare_numbers_are_repeats(run):
    done = run("calibrate", "2000 tok/s", "2100 tok/s", "2205 tok/s", *DECODE, "-o", "json")
    assert done.data["throughput"]["value"] == pytest.approx(2100)
    assert not any(n["code"] == "interval-assumed" for n in done.data["notes"])


def test_a_file_of_that_name_is_no_bare_number(run, tmp_path):
    (tmp_path / "2100").write_text("nothing of the kind\n")
    done = run("calibrate", "2100", *DECODE)
    assert done.code == 2
    assert "log must be a log in a known format" in done.err


def test_an_impossible_number_is_refused_with_quantified_causes(run):
    done = run("calibrate", "2100 tok/s", *DECODE[:-2], "-o", "json")
    assert done.code == 2
    error = done.data["error"]
    assert (error["code"], error["efficiency"]) == ("efficiency-above-limit", pytest.approx(0.03415, rel=1e-3))
    assert {"batch", "devices"} <= {c["code"] for c in error["causes"]}
    for cause in error["causes"]:
        assert f"{cause['message']}: would give eta = {cause['efficiency']:.3g}" in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["calibrate", "none.log", *DECODE], "log must be a file that can be read, got 'none.log'; No such file"),
        (["calibrate", SERVER, "--hardware", "h10"], "unknown hardware 'h10': did you mean h100"),
        (["calibrate", SERVER, "--hardware", "h100", "--model", "gpt2"], "model must be the one that the log is of"),
        (
            ["calibrate", SERVER, "--hardware", "h100", "--throughput", "9"],
            "throughput must be left out where a log is",
        ),
        (
            ["calibrate", "2100 tok/s", "12 ms", *DECODE],
            "time_s must be left out where throughput is given, got '12 ms'",
        ),
        (["calibrate", "2100", "--model", "lama-3.1-8b", "--hardware", "h100"], "did you mean llama-3.1-8b"),
        (["calibrate", "2100", *DECODE, "--sugest"], "No such option '--sugest'. Did you mean '--suggest'?"),
        (
            ["calibrate", "2100", *DECODE, "--save", "../x"],
            "name must be letters, digits, dots and dashes, 100 at most",
        ),
        (
            ["calibrate", "9", "--flops-per-token", "1e12", "--peak", "1e15", "--suggest"],
            "calibration must be made from a",
        ),
        (
            ["calibrate", "9", "--flops-per-token", "1e12", "--peak", "1e15", "--on", "h200"],
            "on must be left out where",
        ),
        (
            ["calibrate", str(LOGS / "mlperf_offline.txt"), "--hardware", "h100"],
            "model must be given, or flops_per_token",
        ),
        (["calibrations", "shwo", "a"], "No such command 'shwo'. Did you mean show?"),
        (["calibrations", "show", "b"], "unknown calibration 'b' (there are abc)"),
        (["calibrations", "show", "abd"], "unknown calibration 'abd': did you mean abc? (there are abc)"),
        (["calibrations", "show", "abc@3"], "revision must be a number from 1 to 2, got '3'"),
        (["calibrations", "diff", "abc", "abx"], "unknown calibration 'abx': did you mean abc?"),
        (["calibrations", "drift", "abc", "--since", "May"], "since must be a day such as 2026-10-27, got 'May'"),
        (["calibrations", "verify", "abc", "none.log"], "log must be a file that can be read, got 'none.log'"),
        (["transfer", "abx", "--to", "h200"], "unknown calibration 'abx': did you mean abc?"),
        (["transfer", "abc", "--to", "h2000"], "unknown hardware 'h2000': did you mean h200"),
        (["transfer", "abc"], "Missing option '--to'"),
        (["transfr", "abc"], "No such command 'transfr'. Did you mean transfer?"),
        (["whatif", "abc", "--batch", "0"], "batch_size must be a whole number of at least 1, got 0"),
        (["whatif", "abc", "--precision", "fp7"], "unknown precision 'fp7': did you mean fp8"),
        (["whatif", "abc", "--model", "lama-3.1-8b"], "unknown model 'lama-3.1-8b': did you mean llama-3.1-8b"),
        (["what", "abc"], "Did you mean whatif?"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(run, arguments, sentence):
    for rate in ("2100 tok/s", "2000 tok/s"):
        run("calibrate", rate, *DECODE, "--save", "abc")
    done = run(*arguments)
    assert done.code == 2
    assert sentence in done.err
    assert done.out == ""
    told = run(*arguments, "-o", "json")
    assert told.code == 2
    assert set(told.data) == {"error"}
    assert sentence in told.data["error"]["message"]


def test_a_name_that_cannot_be_saved_leaves_no_half_answer(run, tmp_path):
    (tmp_path / "calibrations").write_text("in the way")
    done = run("calibrate", "2100 tok/s", *DECODE, "--save", "a", "-o", "json")
    assert done.code == 2
    assert "calibrations must be a folder that can be written into" in done.data["error"]["message"]


def test_suggestions_are_told_with_what_they_would_give(run):
    done = run("calibrate", "2100 tok/s", *DECODE, "--suggest", "-o", "json")
    assert done.code == 0
    first = done.data["suggest"][0]
    assert set(first) == {"change", "before", "after"}
    assert set(first["change"]) == {"batch_size", "context"}
    assert 0 < first["after"] < first["before"]
    shown = run("calibrate", "2100 tok/s", *DECODE, "--suggest").out
    assert "Measure next" in shown
    assert f"batch_size {first['change']['batch_size']:,}, context {first['change']['context']:,}" in shown
    assert f"± {first['after']:.1%}" in shown


def test_save_list_show_and_diff(run, tmp_path):
    first = run("calibrate", "2100 tok/s", *DECODE, "--save", "a", "--note", "before", "-o", "json")
    assert first.err.endswith("saved as a, revision 1: calibrations/a.toml\n")
    assert first.data["throughput"]["value"] == 2100
    run("calibrate", "2205 tok/s", *DECODE, "--save", "a")
    run("calibrate", SERVER, "--hardware", "h100", "--save", "served", "--user")
    assert (tmp_path / "user" / "calibrations" / "served.toml").is_file()
    listed = run("calibrations", "list", "-o", "json")
    assert [(r["name"], r["revision"], r["points_saved"], r["of"]) for r in listed.data] == [
        ("a", 2, 1, ["llama-3.1-8b"]),
        ("served", 1, 2, ["llama-3.1-8b"]),
    ]
    assert "served" in run("calibrations", "list").out
    shown = run("calibrations", "show", "a@1", "-o", "json")
    assert (shown.data["note"], shown.data["revision"]) == ("before", 1)
    assert shown.data["efficiency"]["value"] == pytest.approx(first.data["efficiency"]["value"], rel=1e-12)
    assert "a, revision 2, llama-3.1-8b on h100, recorded 20" in run("calibrations", "show", "a").err
    (point,) = run("calibrations", "diff", "a@1", "a@2", "-o", "json").data
    assert set(point) == {"point", "earlier", "later", "ratio", "moved"}
    assert point["ratio"]["value"] == pytest.approx(1.05)
    assert point["moved"] is False  # 5 % is within what one number is known to
    assert run("calibrations", "diff", "a", "served").code == 2


def test_nothing_saved_is_an_empty_list(run):
    done = run("calibrations", "list", "-o", "json")
    assert (done.code, done.data) == (0, [])


def test_a_broken_file_is_told_beside_the_list_of_the_others(run, tmp_path):
    run("calibrate", "2100 tok/s", *DECODE, "--save", "a")
    (tmp_path / "calibrations" / "b.toml").write_text("revision = [")
    done = run("calibrations", "list", "-o", "json")
    assert done.code == 2
    assert [r["name"] for r in done.data] == ["a"]
    assert "calibration must be a TOML file, got 'calibrations/b.toml'" in done.err
    assert run("calibrations", "show", "b").code == 2
    assert run("calibrations", "show", "a").code == 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (("--save", ""), "name must be letters, digits, dots and dashes, 100 at most, got ''"),
        (("--note", "a word"), "note must be left out where nothing is saved, got 'a word'"),
        (("--user",), "user must be left out where nothing is saved, got '--user'"),
    ],
)
def test_nothing_is_left_unsaved_in_silence(run, how, message):
    done = run("calibrate", "2100 tok/s", *DECODE, *how)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"mlsysim: {message}")


def test_drift_exits_with_3_where_eta_fell(run, tmp_path):
    assert run("calibrate", "2100 tok/s", *DECODE, "--save", "a").code == 0
    alone = run("calibrations", "drift", "a")
    assert alone.code == 2
    assert "measure again and save it under the same name" in alone.err
    run("calibrate", "2100 tok/s", *DECODE, "--save", "a")
    same = run("calibrations", "drift", "a")
    assert (same.code, same.err) == (0, "eta has not fallen\n")
    run("calibrate", "1000 tok/s", *DECODE, "--save", "a")
    fell = run("calibrations", "drift", "a", "-o", "json")
    assert fell.code == 3
    assert fell.data[0]["moved"] is True
    assert fell.data[0]["ratio"]["value"] == pytest.approx(1000 / 2100)
    assert fell.err == "eta fell at 1 of 1 points\n"
    assert "FELL" in run("calibrations", "drift", "a").out
    run("calibrate", "4000 tok/s", *DECODE, "--save", "a")
    rose = run("calibrations", "drift", "a")
    assert rose.code == 0
    assert "rose" in rose.out
    file = tmp_path / "calibrations" / "a.toml"
    days = iter(("2026-01-05", "2026-02-05", "2026-03-05", "2026-04-05"))
    file.write_text(re.sub(r"20\d\d-\d\d-\d\d(?=T)", lambda _: next(days), file.read_text()))
    since = run("calibrations", "drift", "a", "--since", "2026-03-10", "-o", "json")
    assert since.data[0]["ratio"]["value"] == pytest.approx(4.0)


def test_verify_exits_with_3_where_the_calibration_does_not_hold(run, tmp_path):
    usual, slow = [1.0, 1.01] * 15, [1.6, 1.61] * 15
    run("calibrate", table(tmp_path, "old.csv", usual), *TRAINING, "--save", "t")
    held = run("calibrations", "verify", "t", table(tmp_path, "new.csv", usual), "-o", "json")
    assert held.code == 0
    assert set(held.data[0]) == {"point", "predicted_s", "measured_s", "error", "held"}
    assert held.data[0]["error"] == pytest.approx(0, abs=1e-9)
    assert held.err == "1 of 1 points hold\n"
    failed = run("calibrations", "verify", "t", table(tmp_path, "slow.csv", slow), "-o", "json")
    assert failed.code == 3
    assert failed.data[0]["held"] is False
    assert failed.data[0]["error"] == pytest.approx(1.005 / 1.605 - 1, abs=0.01)
    assert failed.err == "0 of 1 points hold\n"


def test_verify_asks_the_same_of_the_log_as_was_calibrated(run, tmp_path):
    # A log of bare step times says nothing of adapters or batch: they are those of the calibration.
    log = table(tmp_path, "steps.csv", [1.0, 1.01] * 15)
    run("calibrate", log, *TRAINING, "--lora-rank", "8", "--save", "t")
    done = run("calibrations", "verify", "t", log, "-o", "json")
    assert "lora_rank 8" in done.data[0]["point"]
    assert (done.code, done.data[0]["error"]) == (0, pytest.approx(0, abs=1e-9))
    other = run("calibrations", "verify", "t", log, "--batch", "32", "-o", "json")
    assert "batch_size 32" in other.data[0]["point"]


def test_verify_of_stated_flops_says_why_not(run):
    run("calibrate", "9 tok/s", "--flops-per-token", "1e12", "--peak", "1e15", "--save", "f")
    done = run("calibrations", "verify", "f", SERVER)
    assert done.code == 2
    assert "name must be of a calibration made from a model, to predict from it, got 'f'" in done.err


def test_transfer_widens_and_says_why(run):
    run("calibrate", "2100 tok/s", *DECODE, "--save", "a")
    done = run("transfer", "a", "--to", "h200,b200", "--to", "mi300x", "-o", "json")
    assert done.code == 0
    assert [r["hardware"] for r in done.data] == ["h200-sxm", "b200", "mi300x"]
    for r in done.data:
        assert r["efficiency"]["kind"] == "measured"
        assert r["time_s"]["low"] < r["time_s"]["value"] < r["time_s"]["high"]
        assert "efficiency-moved" in {n["code"] for n in r["notes"]}
    text = run("transfer", "a", "--to", "h200")
    assert "[efficiency-moved] measured elsewhere (hardware h100-sxm to h200-sxm (same family))" in text.err
    twice = run("transfer", "a", "--to", "b200,b200", "-o", "json")
    assert [r["hardware"] for r in twice.data] == ["b200"]
    assert run("transfer", "a", "--to", "h200", "--batch", "64", "-o", "json").data[0]["batch_size"] == 64


def test_transfer_to_what_is_too_small_exits_with_1(run):
    four = ("--model", "llama-3.1-70b", "--hardware", "h100", "--devices", "4", "--phase", "decode")
    assert run("calibrate", "60 tok/s", *four, "--save", "a").code == 0
    done = run("transfer", "a", "--to", "l4")
    assert done.code == 1
    assert "NO" in done.out


def test_what_if_puts_both_runs_side_by_side(run):
    run("calibrate", "2100 tok/s", *DECODE, "--save", "a")
    run("calibrate", "1300 tok/s", *DECODE, "--batch", "16", "--save", "b")
    done = run("whatif", "a", "--hardware", "b200", "--batch", "64", "--precision", "fp8", "-o", "json")
    assert done.code == 0
    assert set(done.data) == {"measured", "changed", "speedup"}
    assert done.data["measured"]["throughput"]["value"] == pytest.approx(2100)
    changed = done.data["changed"]
    assert (changed["hardware"], changed["batch_size"], changed["precision"]) == ("b200", 64, "fp8")
    assert done.data["speedup"] == pytest.approx(changed["throughput"]["value"] / 2100)
    assert "times the throughput" in run("whatif", "a", "--batch", "64").out
    rows = list(csv.DictReader(io.StringIO(run("whatif", "a", "--batch", "64", "-o", "csv").out)))
    assert [row["batch_size"] for row in rows] == ["32", "64"]
    exact = run("whatif", "a", "b", "--batch", "16", "-o", "json")  # where b was measured, it answers
    assert exact.data["changed"]["throughput"]["value"] == pytest.approx(1300)
    other = run("whatif", "a,b", "--model", "mistral-7b", "-o", "json")
    assert other.data["changed"]["model"] == "mistral-7b"


def test_what_if_it_does_not_fit_exits_with_1(run):
    run("calibrate", "2100 tok/s", *DECODE, "--save", "a")
    assert run("whatif", "a", "--model", "llama-3.1-405b").code == 1


def test_a_measurement_on_paper_goes_from_the_shell_to_a_file_and_back(tmp_path):
    command = [sys.executable, "-m", "mlsysim"]
    given = {"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 60}
    saved = subprocess.run(
        [*command, "calibrate", "2100 tok/s", *DECODE, "--save", "a", "-o", "json"], check=False, **given
    )
    assert saved.returncode == 0
    assert json.loads(saved.stdout)["throughput"]["value"] == 2100
    drifted = subprocess.run([*command, "calibrations", "drift", "a"], check=False, **given)
    assert drifted.returncode == 2
    assert drifted.stdout == ""
