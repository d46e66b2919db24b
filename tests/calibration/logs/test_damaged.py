"""Whatever happens to a log, its reader returns what is whole or refuses in a sentence; it never breaks."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlsysim.calibration.logs import read_log
from mlsysim.errors import InvalidValue

FILES = Path(__file__).parent / "files"
LOGS = (
    "deepspeed.log",
    "kineto_cpu.json",
    "lightning_metrics.csv",
    "mlperf_offline.txt",
    "mlperf_singlestream.txt",
    "run-run-tag-loss.json",
    "run-run-tag-perf_step_time.csv",
    "step_time_ms",
    "trainer_state.json",
)
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sound(path):
    """Read a log, and hold whatever comes back to what every reading promises."""
    try:
        log = read_log([path])
    except InvalidValue:
        return
    assert log.readings
    for reading in log.readings:
        assert reading.values
        assert all(math.isfinite(value) and value > 0 for value in reading.values)
        assert all(at < len(reading.values) for at in reading.pauses)


@pytest.mark.parametrize("name", LOGS)
@SLOW
@given(share=st.floats(0, 1))
def test_cut_off_anywhere(tmp_path, name, share):
    content = (FILES / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(share * len(content))])
    sound(path)


@pytest.mark.parametrize("name", LOGS)
@SLOW
@given(
    share=st.floats(0, 1),
    put=st.sampled_from([b"NaN", b"-1", b"0", b"1e999", b"null", b'"', b"}", b",", b"\n", b"\x00\xff", b"9" * 400]),
    over=st.integers(0, 12),
)
def test_damaged_anywhere(tmp_path, name, share, put, over):
    content = (FILES / name).read_bytes()
    at = int(share * len(content))
    path = tmp_path / name
    path.write_bytes(content[:at] + put + content[at + over :])
    sound(path)


HUGE = {
    "sglang_server.log": [(rb"#running-req: 8", b"#running-req: " + b"9" * 400)],
    "vllm_server.log": [(rb"Running: 8 reqs", b"Running: " + b"9" * 400 + b" reqs")],
    "trainer_state.json": [(rb'"num_input_tokens_seen": \d+', b'"num_input_tokens_seen": 1e999')],
    "llama_bench.md": [
        (rb"tg32", b"tg" + b"9" * 400),
        (r"\d+\.\d+ ± \d+\.\d+".encode(), "0.00000001 ± 9999999.0".encode()),
    ],
    "vllm_bench_serve_detailed.jsonl": [(rb'"itls": \[\[0\.\d+', b'"itls": [[' + b"9" * 400)],
}


@pytest.mark.parametrize("name", HUGE)
def test_numbers_that_no_float_holds_are_refused_or_left_out(name, tmp_path):
    content = (FILES / name).read_bytes()
    for pattern, put in HUGE[name]:
        damaged, count = re.subn(pattern, put, content)
        assert count
        path = tmp_path / name
        path.write_bytes(damaged)
        sound(path)
