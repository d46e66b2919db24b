"""Traces of PyTorch's profiler: the file of a real run, and traces made to be large, cut or of a device."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim.calibration.logs import kineto, read_log
from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue

FILES = Path(__file__).parent / "files"
WORLD = {"backend": "nccl", "rank": 3, "world_size": 16, "pg_count": 1, "pg_config": []}


def event(name, start, duration, cat="user_annotation", **more):
    return {"ph": "X", "cat": cat, "name": name, "pid": 1, "tid": 1, "ts": start, "dur": duration, **more}


def step(number, duration=1000.0, cat="user_annotation", **more):
    return event(f"ProfilerStep#{number}", 1e6 + 2000.0 * number, duration, cat, args={"Ev Idx": 7}, **more)


def trace(events, **more):
    devices = [{"id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 84929347584}]
    return {"schemaVersion": 1, "deviceProperties": devices, **more, "traceEvents": events, "traceName": "t.json"}


def saved(tmp_path, found, name="trace.json"):
    path = tmp_path / name
    text = found if isinstance(found, str) else json.dumps(found, indent=1)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def only(log):
    (reading,) = log.readings
    return reading


def test_a_trace_as_pytorch_wrote_it():
    log = read_log([FILES / "kineto_cpu.json"])
    reading = only(log)
    assert (log.format, log.hardware, log.left_out) == ("PyTorch trace", "", ())
    assert (reading.phase, reading.quantity, reading.steps) == ("training", "time_s", True)
    marks = [e for e in json.loads((FILES / "kineto_cpu.json").read_text())["traceEvents"] if "Step#" in e["name"]]
    assert reading.values == pytest.approx([e["dur"] * 1e-6 for e in marks if "Profiler" in e["name"]])
    assert len(reading.values) == 8
    lines = (FILES / "kineto_cpu.json").read_text().splitlines()
    assert ["ProfilerStep#" in lines[line - 1] for line in reading.lines] == [True] * 8
    assert [n.code for n in log.notes] == ["profiled"]


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_device_and_world_are_told(tmp_path, name):
    log = read_log([saved(tmp_path, trace([step(1), step(2)], distributedInfo=WORLD), name)])
    assert log.hardware == "NVIDIA H100 80GB HBM3"
    assert only(log).conditions == {"devices": 16}
    assert only(log).label == "rank 3"
    assert only(log).phase == ""  # neither a backward pass nor an optimizer is in it


def test_a_world_that_is_told_behind_the_events(tmp_path):
    found = trace([step(1)] + [event("aten::mm", 1.0, 2.0, "cpu_op")] * 20_000)
    assert only(read_log([saved(tmp_path, {**found, "distributedInfo": WORLD})])).conditions == {"devices": 16}


def test_where_the_host_runs_ahead_the_device_tells_the_time(tmp_path):
    events = [step(1, 50.0), step(2, 900.0)]
    events += [step(1, 800.0, "gpu_user_annotation", tid=7), step(1, 850.0, "gpu_user_annotation", tid=8)]
    events += [step(2, 700.0, "gpu_user_annotation")]
    log = read_log([saved(tmp_path, trace(events))])
    assert only(log).values == pytest.approx((850e-6, 900e-6))
    assert log.notes[1].message == "in 1 of 2 steps the device was busy for longer than the host: its time is taken"


def test_names_that_mention_a_step_are_no_steps(tmp_path):
    events = [step(1), event("wait for ProfilerStep#9", 1.0, 5.0), step(2), event("ProfilerStep#x", 1.0, 5.0)]
    events += [{**step(3), "ph": "i"}, event("ProfilerStep#4", 1.0, 5.0, "cpu_op")]
    assert only(read_log([saved(tmp_path, trace(events))])).values == (1e-3, 1e-3)


def test_arguments_before_the_name_do_not_hide_it(tmp_path):
    odd = {"args": {"name": "other", "deep": {"a": [1]}}, "ph": "X", "cat": "user_annotation", "ts": 5.0, "dur": 70.0}
    odd = {"args": {"deep": {"a": [1]}}, **{k: v for k, v in odd.items() if k != "args"}, "name": "ProfilerStep#5"}
    assert only(read_log([saved(tmp_path, trace([odd]))])).values == (pytest.approx(70e-6),)


def test_a_trace_that_breaks_off_gives_its_whole_steps(tmp_path):
    whole = json.dumps(trace([step(n) for n in range(1, 6)]), indent=1)
    log = read_log([saved(tmp_path, whole[: whole.index("ProfilerStep#4") + 40])])
    assert only(log).values == (1e-3,) * 3
    assert [reason for _, reason in log.left_out] == [
        "the trace breaks off: the steps before that are used",
        "a step whose event breaks off",
    ]


def test_a_packed_trace_that_breaks_off_gives_its_whole_steps(tmp_path):
    events = [step(n) if n % 500 == 0 else event("k", n * 1.7, n % 7 + 0.1, "kernel") for n in range(1, 5001)]
    packed = gzip.compress(json.dumps(trace(events)).encode())
    path = tmp_path / "trace.json.gz"
    path.write_bytes(packed[: len(packed) // 2])
    log = read_log([path])
    assert 2 <= len(only(log).values) <= 8
    assert log.left_out[0] == (0, "the trace breaks off: the steps before that are used")


@pytest.mark.parametrize("bad", [{"dur": float("nan")}, {"dur": 0}, {"dur": -5.0}])
def test_a_step_that_takes_no_time_is_left_out(tmp_path, bad):
    log = read_log([saved(tmp_path, trace([step(1), {**step(2), **bad}, step(3)]))])
    assert len(only(log).values) == 2
    assert log.left_out[0].reason.endswith("which no step takes")


def test_a_clock_that_goes_backwards_is_refused(tmp_path):
    # the second span begins later and ends before the first: no two steps of one loop can
    events = [{**step(1), "ts": 0.0, "dur": 9e6}, {**step(2), "ts": 1e6, "dur": 1e6}]
    with pytest.raises(InvalidValue, match=r"time must be no earlier than the line before \(9.000000 s\), got 2.0"):
        read_log([saved(tmp_path, trace(events))])


def test_two_runs_in_one_trace_are_refused_and_a_second_process_is_left_out(tmp_path):
    again = [step(3), {**step(1), "ts": 9e6}]
    with pytest.raises(InvalidValue, match="whose step numbers rise"):
        read_log([saved(tmp_path, trace(again))])
    log = read_log([saved(tmp_path, trace([step(1), {**step(1), "pid": 2, "ts": 2e9}, step(2)]))])
    assert len(only(log).values) == 2
    assert log.left_out[0].reason == "a step of another process"


def test_a_trace_without_marks_says_how_to_make_them(tmp_path):
    path = saved(tmp_path, trace([event("aten::mm", 1.0, 2.0, "cpu_op")]))
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    assert str(caught.value) == (
        f"log must be a trace with marks ProfilerStep#N, got {str(path)!r}; none of its spans is a step: call"
        " prof.step() after each, or give the step times as a CSV"
    )


def test_a_large_trace_is_never_held_as_a_whole(tmp_path):
    path = tmp_path / "trace.json"
    filler = "".join(json.dumps(event("void kernel()", float(i), 3.2, "kernel")) + ",\n" for i in range(1000))
    with path.open("w") as file:
        file.write('{"deviceProperties": [],\n"traceEvents": [\n')
        for number in range(1, 121):
            file.write(json.dumps(step(number)) + ",\n" + filler * 3)
        file.write(json.dumps(step(121)) + '\n], "traceName": "t.json"}')
    assert path.stat().st_size > 30e6
    tracemalloc.start()
    try:
        reading = only(read_log([path]))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(reading.values) == 121
    assert most < 10e6  # pieces of 1 MB, with room for copies of a few


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    size=st.integers(3000, 9000),
    indent=st.sampled_from([None, 1]),
)
def test_no_step_is_lost_or_counted_twice_wherever_pieces_end(tmp_path_factory, gaps, size, indent):
    events = []
    for number, gap in enumerate(gaps, 1):
        events += [event("k" * (gap % 97), 1.0, 2.0, "kernel")] * (gap // 10)
        events.append(step(number, 1000.0 + number))
    path = saved(tmp_path_factory.mktemp("t"), json.dumps(trace(events), indent=indent))
    whole_pieces = Source.pieces
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kineto, "BLOCK_BYTES", size)
        patch.setattr(kineto, "_EVENT_BYTES", 1000)
        patch.setattr(Source, "pieces", lambda self, _=0: whole_pieces(self, size))
        log = read_log([path])
    assert log.left_out == ()
    assert only(log).values == pytest.approx([1e-3 + n * 1e-6 for n in range(1, len(gaps) + 1)])
