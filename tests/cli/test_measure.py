"""``mlsysim measure`` as a person meets it: a program's output, the answer, exit codes, streams, sentences."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlsysim.calibration.store import load

COMMAND = [sys.executable, "-c", "from mlsysim.cli.app import main; main()", "measure"]
QUESTION = ["--model", "gpt2", "--hardware", "h100", "--phase", "training", "--batch", "8", "--seq-len", "1024"]
LOOP = "import sys, time\nfor i in range({n}):\n    time.sleep(0.02); print(f'step {{i}}: loss 2.5')\nsys.exit({code})"
NANOGPT = "for i in range(20): print(f'iter {i}: loss 2.5000, time 20.00ms, mfu 12.34%')"


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60)


def loop(n=12, code=0):
    return ["--", sys.executable, "-c", LOOP.format(n=n, code=code)]


def test_the_output_passes_through_and_the_calibration_follows():
    done = run(*QUESTION, *loop())
    assert done.returncode == 0
    assert done.stdout.startswith("".join(f"step {i}: loss 2.5\n" for i in range(12)))
    eta = float(re.search(r"eta\s+([\d.]+)", done.stdout)[1])
    # 8,192 tokens in 20 ms and what the loop adds to it: eta 0.33 at the most, less on a busy machine.
    assert 0.02 < eta < 0.335
    assert "mlsysim: 11 steps read as times of arrival" in done.stderr
    assert "[times-of-arrival] no reader knows these lines" in done.stderr


def test_json_is_alone_on_standard_output():
    done = run(*QUESTION, "-o", "json", *loop())
    data = json.loads(done.stdout)
    assert (data["format"], data["samples"], data["exit_code"]) == ("times of arrival", 11, 0)
    assert data["conditions"]["batch_size"] == 8
    assert "step 11: loss 2.5\n" in done.stderr


def test_lines_that_a_reader_knows_are_read_by_it():
    done = run(*QUESTION, "-o", "json", "--", sys.executable, "-c", NANOGPT)
    data = json.loads(done.stdout)
    assert data["format"] == "nanoGPT"
    assert data["throughput"]["value"] == pytest.approx(8 * 1024 / 0.02)


def test_a_program_that_fails_keeps_its_exit_code_and_what_was_measured():
    done = run(*QUESTION, *loop(code=7))
    assert done.returncode == 7
    assert "eta ceiling" in done.stdout
    assert done.stderr.endswith("failed with exit code 7\n")


def test_a_program_that_fails_at_once_says_so_beside_its_own_words():
    done = run(*QUESTION, "--", sys.executable, "-c", "raise SystemExit('no GPU')")
    assert done.returncode == 1
    assert done.stderr.startswith("no GPU\nmlsysim: output must be at least 7 lines with a counter, got 0; ")


def test_a_program_without_step_lines_is_a_mistake():
    done = run(*QUESTION, "--", sys.executable, "-c", "print('done')")
    assert done.returncode == 2
    assert done.stdout == "done\n"
    assert done.stderr == (
        "mlsysim: output must be at least 7 lines with a counter, got 0;"
        " such as 'step 12: ...', 'iter 12', or '12/100'; print one a step, or every few steps\n"
    )


def test_without_a_model_the_time_of_a_step_is_told():
    done = run(*loop())
    assert done.returncode == 0
    assert re.search(r"time of a step +\d", done.stdout)
    assert "mlsysim: --model and --hardware turn this into eta\n" in done.stderr
    data = json.loads(run("-o", "json", "--", sys.executable, "-c", NANOGPT).stdout)
    assert data["time_s"]["value"] == pytest.approx(0.02)


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="signals to a process group are POSIX")
def test_an_interrupt_reaches_the_program_and_what_was_measured_is_shown():
    arguments = [*COMMAND, *QUESTION, *loop(n=3000)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if line.startswith("step 15"):
                break
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        out, err = process.communicate(timeout=40)
    assert time.monotonic() - start < 30  # the loop alone would take 60 s
    assert process.returncode == 130
    assert "attainment" in out
    assert "KeyboardInterrupt" in err
    assert err.endswith("was interrupted with exit code 130\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "mlsysim: command must be a program after --, or an ONNX file, got '';"
            " such as `mlsysim measure -- python train.py` or `mlsysim measure network.onnx`\n",
        ),
        (
            ["--", "no-such-program"],
            "mlsysim: command must be a program that can be run, got 'no-such-program'; No such file or directory\n",
        ),
        (
            ["--seconds", "3", "--", "ls"],
            "mlsysim: --seconds must be left out where a program is run, got 'ls'; it is for ONNX files\n",
        ),
        (
            ["--phase", "training", "net.onnx"],
            "mlsysim: phase must be left out where an ONNX file is run, got 'training'\n",
        ),
        (["net.onnx", "--hardware", "epyc-7763"], "mlsysim: path must be an existing ONNX file, got 'net.onnx'\n"),
        (
            ["net.onnx", "--batch", "1,x"],
            "mlsysim: batch must be a whole number of at least 1, got 'x'; that is text\n",
        ),
        (["net.onnx", "--batch", "0"], "mlsysim: batch must be a whole number of at least 1, got 0\n"),
        (
            ["net.onnx", "--save", "net"],
            "mlsysim: save must be left out where an ONNX file is run, got 'net';"
            " its eta is of this machine as it was probed for it\n",
        ),
        (
            ["--save", "a b", "--", "ls"],
            "mlsysim: name must be letters, digits, dots and dashes, 100 at most, got 'a b'\n",
        ),
        (
            ["--note", "a word", "--", "ls"],
            "mlsysim: note must be left out where nothing is saved, got 'a word';"
            " `--save NAME` keeps the calibration\n",
        ),
        (["net.onnx", "--threads", "0"], "mlsysim: threads must be a whole number of at least 1, got 0\n"),
    ],
)
def test_mistakes_are_a_sentence(arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_what_was_measured_is_kept_and_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*QUESTION, "--save", "mine", "--note", "a word", "--", sys.executable, "-c", NANOGPT)
    assert done.returncode == 0
    assert done.stderr.endswith(f"saved as mine, revision 1: {Path('calibrations') / 'mine.toml'}\n")
    kept = load("mine")
    assert (kept.note, kept.profile.main.origin.samples) == ("a word", 20)
    assert kept.profile.main.time_s.value == pytest.approx(0.020)


def test_without_a_model_nothing_is_saved_and_said_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("--save", "mine", "--", sys.executable, "-c", NANOGPT)
    assert done.returncode == 2
    assert "time of a step" in done.stdout
    assert done.stderr.endswith("mlsysim: nothing is saved: --model and --hardware turn this into eta\n")
    assert not (tmp_path / "calibrations" / "mine.toml").exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("loop.py", "write `mlsysim measure -- python {0}`"),
        ("run.log", "a log that a program left is read by `mlsysim calibrate {0}`"),
        ("", "it is a folder"),
    ],
)
def test_a_file_that_is_no_program_says_what_to_write(tmp_path, name, hint):
    path = tmp_path / name
    if name:
        path.write_text("iter 0: loss 3.4\n")
    done = run(str(path))
    rule = f"mlsysim: command must be a program that can be run, got {str(path)!r}"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{rule}; {hint.format(path)}\n"


def test_the_question_is_checked_before_the_program_runs():
    done = run("--model", "gpt5x", "--hardware", "h1000", "--", sys.executable, "-c", "print('ran')")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "unknown hardware 'h1000'" in done.stderr
    assert "unknown model 'gpt5x'" in done.stderr
    assert "unknown model 'gpt5x'" in run("--model", "gpt5x", "--", sys.executable, "-c", "print('ran')").stderr


@pytest.fixture
def network(tmp_path):
    """Write one matrix product of 64 x 64 with a free batch."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = helper.make_tensor("w", kinds.FLOAT, (64, 64), [0.5] * 4096)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["N", 64])],
        [weights],
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return str(path)


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_an_onnx_file_at_several_batch_sizes(network, form):
    arguments = ["--batch", "1,4", "--seconds", "0.2", "--threads", "1", "--hardware", "epyc-7763", "-o", form]
    done = run(network, *arguments)
    assert done.returncode == 0, done.stderr
    if form == "json":
        rows = json.loads(done.stdout)["measurements"]
        assert [r["batch_size"] for r in rows] == [1, 4]
        for r in rows:
            assert r["flops_per_item"] == 2 * 64 * 64
            assert r["efficiency"]["value"] == pytest.approx(r["throughput"]["value"] * 8192 / r["peak_flops"])
            assert r["time_s"]["low"] <= r["time_s"]["value"] <= r["time_s"]["high"]
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [r["batch_size"] for r in rows] == ["1", "4"]
        assert float(rows[0]["time_s.value"]) > 0
    else:
        for head in ("batch 1", "batch 4", "step", "90 % interval", "throughput", "eta", "ceiling", "attainment"):
            assert head in done.stdout


def test_a_precision_the_device_lacks_is_told_before_the_measurement(network):
    done = run(network, "--hardware", "epyc-7763", "--precision", "fp8")
    assert done.returncode == 2
    assert done.stderr.startswith("mlsysim: precision 'fp8' has no peak on epyc-7763: choose ")
    other = run(network, "--hardware", "h100")
    assert other.returncode == 2
    assert other.stderr == (
        "mlsysim: hardware must be a processor, which is what onnxruntime runs on here, got 'h100-sxm';"
        " it is left out to probe this machine\n"
    )


def test_this_machine_is_probed_where_no_hardware_is_named(network):
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    done = run(network, "--seconds", "0.5", "-o", "json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["hardware"]["name"] == "here"
    assert 0 < data["measurements"][0]["efficiency"]["value"] <= 1
