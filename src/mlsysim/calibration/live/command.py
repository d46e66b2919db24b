"""A program run and read while it runs: its output passes through untouched, and is kept for the readers of logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from mlsysim.calibration.live.arrivals import Arrivals
from mlsysim.errors import InvalidValue

LARGEST_CAPTURE = 256_000_000
"""Bytes of output that are kept for the readers of logs; times of arrival are taken from all of it."""
LONGEST_LINE = 65_536
"""Bytes of a line beyond which it is no step line, and its rest is not kept."""
_CHUNK = 65_536
_QUIET_S = 2.0
"""Seconds without output after which an ended program's pipes are left to those of its children that hold them."""
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP")


class Ended(NamedTuple):
    """How a program ended: its exit code, 128 + n where signal n ended it, as shells have it."""

    exit_code: int
    interrupted: bool
    arrivals: Arrivals
    kept_all: bool


def run_command(command: Sequence[str], kept: Path, out: BinaryIO, err: BinaryIO) -> Ended:
    """Run a program to its end; what it writes goes to ``out`` and ``err`` at once, and its lines to the file ``kept``.

    A signal that interrupts this process reaches the program, which then decides when to end. Python programs are told
    not to buffer (``PYTHONUNBUFFERED``), for a line that waits in a buffer arrives late.

    Raises
    ------
    InvalidValue
        The program cannot be started.
    """
    environment = {"PYTHONUNBUFFERED": "1", **os.environ}
    with kept.open("wb") as file, _passing_on() as signals:
        capture = _Capture(file)
        try:
            process = subprocess.Popen(
                list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=environment
            )
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or str(problem)
            raise InvalidValue("command", "a program that can be run", command[0], why) from None
        signals.reach(process)
        readers = [
            _reader(process.stdout, out, capture.stream("stdout")),
            _reader(process.stderr, err, capture.stream("stderr")),
        ]
        code = process.wait()
        for reader in readers:
            while reader.is_alive() and time.monotonic() - capture.heard < _QUIET_S:
                reader.join(0.05)
        capture.close()
        return Ended(128 - code if code < 0 else code, bool(signals.came), capture.arrivals, not capture.full)


class _Capture:
    """The lines of both streams in the order of their arrival, in a file of bounded size."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.arrivals, self.full = file, Arrivals(), False
        self.heard = time.monotonic()
        self._lock = threading.Lock()
        self._left = LARGEST_CAPTURE
        self._open = True

    def stream(self, name: str) -> Callable[[bytes], None]:
        """Return what takes the bytes of one stream as they arrive."""
        rest = b""

        def take(chunk: bytes) -> None:
            nonlocal rest
            now = time.perf_counter()
            with self._lock:
                self.heard = time.monotonic()
                *lines, rest = (rest + (chunk or b"\n" * bool(rest))).split(b"\n")
                for line in lines:
                    *drawn, last = line.removesuffix(b"\r").split(b"\r")
                    for bar in drawn:
                        self.arrivals.line(name, bar, now)
                    self._line(name, last, now)
                *drawn, rest = rest.split(b"\r")  # a progress bar draws itself anew in place of a line end
                for bar in drawn:
                    self.arrivals.line(name, bar, now)
                rest = rest[:LONGEST_LINE]

        return take

    def _line(self, name: str, line: bytes, now: float) -> None:
        self.arrivals.line(name, line, now)
        if not self._open or self.full:
            return
        self._left -= len(line) + 1
        self.full = self._left < 0
        if not self.full:
            self.file.write(line[:LONGEST_LINE] + b"\n")

    def close(self) -> None:
        """Take nothing more, whoever still writes."""
        with self._lock:
            self._open = False
            self.file.flush()


def _reader(pipe: IO[bytes] | None, sink: BinaryIO, take: Callable[[bytes], None]) -> threading.Thread:
    assert pipe is not None

    def read() -> None:
        with pipe:
            while chunk := os.read(pipe.fileno(), _CHUNK):
                try:
                    sink.write(chunk)
                    sink.flush()
                except (OSError, ValueError):
                    break  # whoever reads our output has had enough: the program learns of it as it would alone
                take(chunk)
        take(b"")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


class _Signals:
    """Signals that came while a program ran, passed on to it; those that came before it ran, as it starts."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def reach(self, process: subprocess.Popen[bytes]) -> None:
        """Pass signals on to this program from now on."""
        self._process = process
        for number in self.came:
            process.send_signal(number)

    def __call__(self, number: int, _frame: object) -> None:
        """Take a signal. A terminal sends Ctrl-C to all in its foreground itself: the program would get it twice."""
        self.came.append(number)
        if self._process is not None and (number != signal.SIGINT or not _in_foreground()):
            self._process.send_signal(number)


@contextmanager
def _passing_on() -> Iterator[_Signals]:
    """Take the signals that would end this process, and yield what passes them on."""
    taker = _Signals()
    if threading.current_thread() is not threading.main_thread():  # only the main one may handle signals
        yield taker
        return
    numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
    before = {number: signal.signal(number, taker) for number in numbers}
    try:
        yield taker
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Return whether a terminal sends its Ctrl-C to this process and its children."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
