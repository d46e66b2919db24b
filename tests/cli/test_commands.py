"""The command line as a person meets it: answers, exit codes, streams, sentences."""

import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from mlsysim.cli.app import main; main()"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60)


DOCUMENTED = ["solve", "llama-3.1-70b", "h100", "--batch", "32", "--precision", "fp16", "--efficiency", "0.45"]


def test_solve_as_documented_does_not_fit_and_says_so():
    done = run(*DOCUMENTED)
    assert done.returncode == 1
    assert "llama-3.1-70b on h100-sxm" in done.stdout
    assert "20.6 s" in done.stdout
    assert "[does-not-fit] needs 172 GB and there are 80 GB" in done.stderr


def test_solve_as_json_is_alone_on_standard_output():
    done = run(*DOCUMENTED, "--output", "json")
    data = json.loads(done.stdout)
    assert data["time_s"]["value"] == pytest.approx(20.55, abs=0.01)
    assert data["efficiency"]["kind"] == "assumed"
    assert data["fits"] is False


def test_what_fits_exits_with_0():
    assert run("solve", "llama-3.1-8b", "h100").returncode == 0


def test_calibrate_as_documented():
    where = ["--model", "llama-3.1-8b", "--hardware", "h100", "--precision", "bf16", "--phase", "decode"]
    done = run("calibrate", *where, "--batch", "32", "--throughput", "2100 tok/s", "-o", "json")
    assert done.returncode == 0
    data = json.loads(done.stdout)
    assert data["efficiency"]["value"] == pytest.approx(0.03415, rel=1e-3)
    assert data["attainment"]["value"] == pytest.approx(data["efficiency"]["value"] / data["ceiling"], rel=1e-9)


def test_an_impossible_calibration_is_refused_with_its_causes():
    arguments = ["calibrate", "--flops-per-token", "1.4e12", "--peak", "989e12", "--throughput", "1200 tok/s"]
    done = run(*arguments, "--output", "json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "efficiency-above-limit"
    assert "eta = 1.699 is impossible" in error["message"]
    assert {"training-flops", "devices", "sparse", "macs", "precision"} == {c["code"] for c in error["causes"]}
    plain = run(*arguments)
    assert plain.stdout == ""
    assert "training FLOPs (6N a token) used for an inference run (2N): would give eta = 0.566" in plain.stderr


def test_several_runs_may_be_given():
    arguments = ["calibrate", "--flops-per-token", "1e12", "--hardware", "h100", "--output", "json"]
    done = run(*arguments, *[w for v in ("99", "100", "101") for w in ("--throughput", v)])
    assert json.loads(done.stdout)["throughput"]["value"] == pytest.approx(100, rel=1e-3)


def test_compare_shows_absolute_speed_beside_eta():
    done = run("compare", "llama-3.1-8b", "--on", "a100,h100,h200,b200", "--phase", "decode", "--output", "csv")
    assert done.returncode == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [r["hardware"] for r in rows] == ["a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200"]
    assert float(rows[0]["time_s.value"]) > float(rows[1]["time_s.value"]) > 0
    assert {"throughput.value", "efficiency.achieved", "achieved_flops", "time_s.low"} <= set(rows[0])
    data = json.loads(run("compare", "llama-3.1-8b", "--on", "a100,h100", "-o", "json").stdout)
    assert [d["hardware"] for d in data] == ["a100-sxm-80gb", "h100-sxm"]


def test_compare_shows_a_device_once_however_often_and_by_whatever_name_it_is_given():
    done = run("compare", "llama-3.1-8b", "--on", "h100,h100, H100", "--on", "a100,h100-sxm", "-o", "json")
    assert [d["hardware"] for d in json.loads(done.stdout)] == ["h100-sxm", "a100-sxm-80gb"]
    wrong = run("compare", "llama-3.1-8b", "--on", "h10,h10")
    assert wrong.stderr.count("unknown hardware 'h10'") == 1


@pytest.mark.parametrize(
    "command", [["guide"], ["guide", "factors"], ["models"], ["hardware"], ["models", "gpt2"], ["hardware", "l4"]]
)
@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_every_listing_in_every_format(command, form):
    done = run(*command, "--output", form)
    assert done.returncode == 0
    assert done.stderr == ""
    if form == "json":
        assert json.loads(done.stdout)
    elif form == "csv":
        assert len(list(csv.reader(io.StringIO(done.stdout)))) > 1
    elif form == "markdown":
        assert done.stdout.splitlines()[1].startswith("| ---")


def test_guide_names_the_twelve_factors():
    assert len(json.loads(run("guide", "factors", "-o", "json").stdout)) == 12


def test_a_measurement_is_carried_to_other_devices():
    measured = ["--model", "llama-3.1-8b", "--hardware", "h100", "--phase", "decode", "--throughput", "140 tok/s"]
    done = run("calibrate", *measured, "--on", "h200,l4", "-o", "json")
    data = json.loads(done.stdout)
    assert [r["hardware"] for r in data["elsewhere"]] == ["h200-sxm", "l4"]
    for r in data["elsewhere"]:
        assert r["efficiency"]["kind"] == "measured"
        low, high = (r["efficiency"][end] / r["efficiency"]["achieved"] for end in ("low", "high"))
        assert low < 1 < high
        assert "efficiency-moved" in [note["code"] for note in r["notes"]]
    table = run("calibrate", *measured, "--on", "h200", "--on", "l4")
    assert "h200-sxm" in table.stdout
    assert "attainment" in table.stdout


def test_one_stated_eta_for_several_ceilings_is_pointed_out():
    done = run("compare", "llama-3.1-8b", "--on", "h100", "--on", "h200", "--phase", "decode", "--efficiency", "0.002")
    assert "[one-eta-for-all]" in done.stderr
    assert "h100-sxm" in done.stdout
    assert "h200-sxm" in done.stdout


def test_a_price_gives_a_cost():
    done = run("solve", "llama-3.1-8b", "h100", "--efficiency", "0.5", "--usd-per-hour", "3.60", "-o", "json")
    data = json.loads(done.stdout)
    one = pytest.approx(data["time_s"]["value"] * 0.001)
    assert data["cost_usd"] == {"value": one, "low": one, "high": one}
    assert "price-taken" not in {n["code"] for n in data["notes"]}
    listed = run("solve", "llama-3.1-8b", "h100", "--efficiency", "0.5")
    assert "[price-taken]" in listed.stderr
    assert "USD for a million tokens" in listed.stdout


def test_a_mistake_of_usage_is_json_too_where_json_is_asked_for():
    done = run("solve", "llama-3.1-8b", "-o", "JSON")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"] == "Missing argument 'HARDWARE'."


def test_an_answer_that_cannot_be_written_is_said():
    text = f"{' '.join(map(shlex.quote, COMMAND))} models > /dev/full"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "mlsysim: cannot write the answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_folder_is_said_before_anything_is_measured():
    done = run("demo", "--report", "/dev/null/report")
    assert done.returncode == 2
    assert "report must be a folder that can be written into" in done.stderr


MISTAKES = [
    (["slove"], "No such command 'slove'. Did you mean solve?"),
    (["solve", "lama-3.1-8b", "h100"], "unknown model 'lama-3.1-8b': did you mean llama-3.1-8b"),
    (["solve", "llama-3.1-8b", "h10"], "unknown hardware 'h10': did you mean h100"),
    (
        ["solve", "llama-3.1-8b", "h100", "--batch", "1.5"],
        "batch_size must be a whole number of at least 1, got 1.5; the nearest is 2",
    ),
    (
        ["solve", "llama-3.1-8b", "h100", "--batch", "many"],
        "batch_size must be a whole number of at least 1, got 'many'; that is text",
    ),
    (["solve", "llama-3.1-8b", "h100", "--batch", "nan"], "batch_size must be a finite number, got nan"),
    (["solve", "llama-3.1-8b", "h100", "--efficiency", "0"], "efficiency must be greater than 0, got 0"),
    (["solve", "llama-3.1-8b", "h100", "--efficiency", "-0.1"], "efficiency must be greater than 0, got -0.1"),
    (["solve", "llama-3.1-8b", "h100", "--efficiency", "1.5"], "efficiency must be in (0, 1], got 1.5"),
    (["solve", "llama-3.1-8b", "h100", "--precision", "fp7"], "unknown precision 'fp7': did you mean fp8"),
    (["solve", "llama-3.1-8b", "h100", "--output", "jsn"], "unknown output 'jsn': did you mean json?"),
    (["solve", "h100", "llama-3.1-8b"], "that is hardware: are the two swapped?"),
    (
        ["solve", "llama-3.1-8b", "8xh100"],
        "hardware must be the name of one device, got '8xh100'; h100 with devices = 8",
    ),
    (["solve", "llama-3.1-8b", "h1oo"], "unknown hardware 'h1oo': did you mean h100?"),
    (["solve", "llama-3.1-8b", "h100", "--efficiency", "5e-324"], "efficiency must be at least 1e-09, got 5e-324"),
    (["solve", "llama-3.1-8b", "h100", "--batch", "1e300"], "batch_size must be at most 1e+15, got 1e+300"),
    (["solve", "llama-3.1-8b"], "Missing argument 'HARDWARE'"),
    (["solve", "llama-3.1-8b", "h100", "--bacth", "2"], "No such option"),
    (["compare", "llama-3.1-8b", "--on", "a100,h10"], "unknown hardware 'h10'"),
    (["compare", "llama-3.1-8b", "--on", ","], "on must be at least one device"),
    (["guide", "factor"], "unknown topic 'factor': did you mean factors?"),
    (["models", "gtp2"], "unknown model 'gtp2': did you mean gpt2"),
    (["hardware", "b2000"], "unknown hardware 'b2000': did you mean"),
    (["calibrate", "--throughput", "100"], "model must be given, or flops_per_token in its place"),
    (["demo", "--network", "missing.onnx"], "path must be an existing ONNX file, got 'missing.onnx'"),
    (["demo", "--shape", "x"], "shape must be a name and sizes such as x=1,3,224,224, got 'x'"),
    (["demo", "--seconds", "soon"], "seconds must be a positive number, got 'soon'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, sentence):
    done = run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_all_problems_are_told_at_once():
    done = run("solve", "lama", "h10", "--batch", "1.5", "--precision", "fp7")
    assert done.returncode == 2
    assert "mlsysim: 4 problems:" in done.stderr


def test_strict_refuses_an_eta_above_the_ceiling():
    done = run("solve", "llama-3.1-8b", "h100", "--phase", "decode", "--efficiency", "0.5", "--strict")
    assert done.returncode == 1
    assert "times the roofline ceiling" in done.stderr


def test_help_of_every_command():
    top = run("--help")
    assert top.returncode == 0
    for name in ("solve", "calibrate", "compare", "guide", "models", "hardware", "demo"):
        assert name in top.stdout
        assert run(name, "--help").returncode == 0


def test_a_closed_pipe_is_not_an_error():
    text = f"{' '.join(map(shlex.quote, COMMAND))} models --output csv | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {text}"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name,")
    assert "Traceback" not in done.stderr


def test_importing_the_package_and_answering_load_no_numpy():
    code = (
        "import sys, mlsysim; assert not {'numpy', 'mlsysim.engine'} & set(sys.modules);"
        "mlsysim.Engine.solve('llama-3.1-8b', 'h100'); assert 'numpy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_printed_by_importing():
    done = subprocess.run(
        [sys.executable, "-c", "import mlsysim; print(dir(mlsysim))"], capture_output=True, text=True, check=True
    )
    assert "Engine" in done.stdout
    assert Path(sys.executable).exists()


LEDGER = ["work", "deepseek-v3", "--phase", "decode", "--batch", "64", "--context", "8192", "--precision", "w4a16kv8"]


def test_the_ledger_as_json_keeps_its_contract():
    done = run(*LEDGER, "-o", "json")
    assert done.returncode == 0
    data = json.loads(done.stdout)
    contract = {"parameters", "active_parameters", "flops", "bytes", "operators", "check"}
    assert contract <= set(data)
    assert set(data["bytes"]) == {"weights", "activations", "kv"}
    one = {"name", "kind", "count", "flops", "weight_bytes", "activation_bytes", "kv_bytes"}
    assert all(one <= set(op) for op in data["operators"])
    assert set(data["check"]) == {"formula", "flops", "relative_difference"}
    assert data["parameters"] == 671_026_404_352
    assert sum(op["flops"] for op in data["operators"]) == data["flops"]
    assert sum(op["weight_bytes"] for op in data["operators"]) == data["bytes"]["weights"]
    assert abs(data["check"]["relative_difference"]) < 1e-12


def test_the_ledger_as_a_table_and_as_csv():
    table = run(*LEDGER)
    assert "sparse.moe.experts" in table.stdout
    assert "checked: 2 x (active matrix parameters" in table.stdout
    assert "[defaults-used]" not in table.stderr
    rows = list(csv.DictReader(io.StringIO(run(*LEDGER, "-o", "csv").stdout)))
    assert [r["name"] for r in rows][:2] == ["embedding", "dense.attention.qkv_down"]


def test_memory_by_purpose():
    done = run("memory", "llama-3.1-8b", "--phase", "training", "--batch", "8", "--seq-len", "4096", "-o", "json")
    data = json.loads(done.stdout)
    purposes = ("weights", "kv_cache", "activations", "gradients", "optimizer", "workspace")
    assert sum(data[p] for p in purposes) == data["total"]
    assert data["optimizer"] == 12 * 8_030_261_248


def test_a_file_in_place_of_a_name(tmp_path):
    config = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
    config |= {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    named = json.loads(run("solve", "llama-3.1-8b", "h100", "-o", "json").stdout)
    filed = json.loads(run("solve", str(path), "h100", "-o", "json").stdout)
    assert filed["time_s"]["value"] == named["time_s"]["value"]
    assert filed["time_s"]["high"] > named["time_s"]["high"]  # no measurement is of a model of that name
    assert filed["memory_bytes"] == named["memory_bytes"]
    assert "8,030,261,248" in run("models", str(path)).stdout
    path.write_text(json.dumps({**config, "hidden_size": "4096", "vocab_size": -1}))
    done = run("solve", str(path), "h100")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "config.json: hidden_size must be a whole number, got '4096'" in done.stderr
    assert "config.json: vocab_size must be from 1 to 1,000,000,000, got -1" in done.stderr


def test_modifiers_on_the_command_line():
    where = ["solve", "deepseek-v3", "h200", "--devices", "8", "--phase", "decode", "--precision", "fp8"]
    done = run(*where, "--draft", "mtp", "--acceptance", "0.8", "-o", "json")
    assert json.loads(done.stdout)["modifiers"] == {"draft": "mtp", "draft_tokens": 1, "acceptance": 0.8}
    done = run(*where, "--draft", "mtp", "--acceptance", "2", "--lora-rank", "8")
    assert done.returncode == 2
    assert "2 problems" in done.stderr


def test_a_broken_file_of_ones_own_does_not_hide_the_other_models(tmp_path):
    folder = tmp_path / ".mlsysim" / "models"
    folder.mkdir(parents=True)
    (folder / "broken.json").write_text("{")
    (folder / "good.toml").write_text("layers=2\nhidden=64\nheads=2\nkv_heads=2\nhead_dim=32\nffn=64\nvocab=100\n")
    done = subprocess.run([*COMMAND, "models"], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert " good " in done.stdout
    assert "gpt2" in done.stdout
    assert done.returncode == 2
    assert "broken.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_as_json_keeps_its_contract():
    data = json.loads(run("hardware", "h100-sxm", "-o", "json").stdout)
    keys = {"name", "aliases", "kind", "generation", "memory_class", "peaks", "memory", "tdp_w", "price", "unknown"}
    assert keys <= set(data)
    assert all({"precision", "sparsity", "flops_per_s", "source", "retrieved"} <= set(p) for p in data["peaks"])
    assert all({"level", "bytes", "bytes_per_s", "source", "retrieved"} <= set(m) for m in data["memory"])
    dense, sparse = (
        {p["precision"]: p["flops_per_s"] for p in data["peaks"] if p["sparsity"] == s} for s in ("dense", "sparse")
    )
    assert dense["bf16"] == 989e12
    assert sparse["bf16"] == pytest.approx(2 * dense["bf16"], rel=1e-3)
    assert [m["level"] for m in data["memory"]] == ["hbm", "l1", "shared", "l2"]
    assert data["memory"][0]["bytes_per_s"] == 3.35e12


def test_devices_side_by_side():
    done = run("hardware", "--compare", "a100", "h100", "b200", "mi300x", "-o", "markdown")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "| figure | a100-sxm-80gb | h100-sxm | b200 | mi300x |"
    assert any(line.startswith("| ridge point, bf16 | 153 FLOP/B | 295.2 FLOP/B ") for line in lines)
    wrong = run("hardware", "--compare", "h10", "b20")
    assert wrong.returncode == 2
    assert "2 problems" in wrong.stderr
    assert run("hardware", "--compare", "h100").returncode == 2


def test_what_no_document_was_found_for_is_listed():
    rows = json.loads(run("hardware", "--unverified", "-o", "json").stdout)
    assert rows
    assert all("recalled" in row["source"] for row in rows)


def test_a_mistake_before_any_progress_leaves_one_sentence():
    done = run("validate", "README.md", "--split", "modell")
    assert done.returncode == 2
    assert done.stderr.startswith("mlsysim: unknown split 'modell': did you mean model?")
    assert done.stdout == ""
