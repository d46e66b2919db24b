import io
import os
import signal
import sys
import time

import pytest

from mlsysim.calibration.live import command
from mlsysim.calibration.live.command import run_command
from mlsysim.errors import InvalidValue


def run(tmp_path, code, *arguments):
    out, err, kept = io.BytesIO(), io.BytesIO(), tmp_path / "kept.log"
    ended = run_command([sys.executable, "-c", code, *arguments], kept, out, err)
    return ended, out.getvalue(), err.getvalue(), kept.read_bytes()


def test_both_streams_pass_untouched_and_whole_lines_are_kept(tmp_path):
    code = (
        "import sys, os, time\n"
        "os.write(1, b'one\\n\\xff\\x00 two'); os.write(2, b'warn\\r\\n'); time.sleep(0.1)\n"
        "os.write(1, b' end\\n  5%|\\r 50%|\\r100%|\\nno newline')"
    )
    ended, out, err, kept = run(tmp_path, code)
    assert out == b"one\n\xff\x00 two end\n  5%|\r 50%|\r100%|\nno newline"
    assert err == b"warn\r\n"
    assert sorted(kept.splitlines()) == sorted(
        [b"one", b"\xff\x00 two end", b"warn", b"100%|", b"no newline"]
    )  # the order of two streams is that of arrival
    assert (ended.exit_code, ended.interrupted, ended.kept_all) == (0, False, True)


def test_output_arrives_while_the_program_runs(tmp_path):
    seen = []

    class Sink(io.BytesIO):
        def write(self, chunk):
            seen.append(time.perf_counter())
            return super().write(chunk)

    code = "import time\nfor i in range(3): print('step', i); time.sleep(0.2)"
    ended = run_command([sys.executable, "-c", code], tmp_path / "kept", Sink(), io.BytesIO())
    assert seen[-1] - seen[0] > 0.2
    assert len(ended.arrivals.longest().times) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_a_signal_ends_has_the_code_that_shells_give_it(tmp_path, number):
    ended, *_ = run(tmp_path, f"import os; os.kill(os.getpid(), {int(number)})")
    assert ended.exit_code == 128 + number


def test_an_exit_code_is_the_programs(tmp_path):
    assert run(tmp_path, "raise SystemExit(7)")[0].exit_code == 7


def test_an_interrupt_reaches_the_program_which_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_in_foreground", lambda: False)
    code = (
        "import os, signal, sys, time\n"
        "def end(number, frame): print('saved'); sys.exit(3)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(30)"
    )
    before = signal.getsignal(signal.SIGINT)
    ended, out, _, _ = run(tmp_path, code)
    assert (ended.exit_code, ended.interrupted, out) == (3, True, b"saved\n")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminals_interrupt_is_not_sent_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_in_foreground", lambda: True)
    code = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT); time.sleep(0.3); print('alive')"
    ended, out, _, _ = run(tmp_path, code)
    assert (ended.exit_code, ended.interrupted, out) == (0, True, b"alive\n")


def test_what_is_kept_is_bounded_and_times_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "LARGEST_CAPTURE", 100)
    code = "import time\nfor i in range(30): print('step', i); time.sleep(0.002)"
    ended, out, _, kept = run(tmp_path, code)
    assert len(kept) <= 100
    assert kept.splitlines() == out.splitlines()[: len(kept.splitlines())]
    assert not ended.kept_all
    assert ended.arrivals.longest().counts[-1] == 29


def test_a_line_without_end_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "LONGEST_LINE", 1000)
    _, out, _, kept = run(tmp_path, "print('x' * 500_000); print('step 1')")
    assert len(out) == 500_008
    assert [len(line) for line in kept.splitlines()] == [1000, 6]


def test_a_child_that_holds_the_pipe_does_not_hold_us(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_QUIET_S", 0.2)
    code = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\n"
        "print(p.pid)"
    )
    start = time.perf_counter()
    ended, out, _, _ = run(tmp_path, code)
    os.kill(int(out), signal.SIGKILL)
    assert ended.exit_code == 0
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize("name", ["no-such-program", "nul\0byte"])
def test_a_program_that_cannot_be_started_is_told(tmp_path, name):
    with pytest.raises(InvalidValue, match=r"^command must be a program that can be run, got "):
        run_command([name], tmp_path / "kept", io.BytesIO(), io.BytesIO())
