import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from timelines import codes, told

from mlsysim.calibration.logs.source import Source
from mlsysim.timeline import xla
from mlsysim.timeline.operators import cost
from mlsysim.timeline.trace import Launch, Mark, Trace

FILES = Path(__file__).parent / "files"
HOST, GPU, TPU = 701, 1, 2
GEMM = "regs:168 static_shared:1024 dynamic_shared:98304 grid:16,4,2 block:128,2,1 occ_pct:12.5"


def named(pid: int, process: str, **lines: str) -> list[dict[str, Any]]:
    found = [{"ph": "M", "pid": pid, "name": "process_name", "args": {"name": process}}]
    for tid, line in lines.items():
        found.append({"ph": "M", "pid": pid, "tid": int(tid[1:]), "name": "thread_name", "args": {"name": line}})
    return found


def span(pid: int, tid: int, ts: Any, dur: Any, name: str, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "pid": pid, "tid": tid, "ts": ts, "dur": dur, "name": name} | ({"args": args} if args else {})


def write(path: Path, events: list[dict[str, Any]]) -> Source:
    # the exporter ends its list with an empty event
    text = json.dumps({"displayTimeUnit": "ns", "metadata": {"highres-ticks": True}, "traceEvents": [*events, {}]})
    path.write_bytes(gzip.compress(text.encode()))
    return Source(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vm.trace.json.gz"


@pytest.fixture(scope="module")
def jax() -> Trace:
    return xla.read(Source(FILES / "jax.trace.json.gz"))


def test_a_trace_of_jax_is_known(jax: Trace):
    assert xla.recognises(Source(FILES / "jax.trace.json.gz"))
    assert not xla.recognises(Source(FILES / "plain.json.gz"))
    assert jax.format == "JAX/XLA trace"
    assert not jax.on_device
    assert jax.left_out == {}


def test_the_steps_are_those_that_were_marked(jax: Trace):
    planted = json.loads((FILES / "planted.json").read_text())["jax"]["step_ns"]
    assert [mark.index for mark in jax.marks] == [0, 1, 2, 3, 4, 5]
    for mark, taken in zip(jax.marks, planted, strict=True):
        assert mark.end - mark.start == pytest.approx(taken, rel=0.01)  # its own clock is read outside the mark


def test_the_planted_load_is_found_in_each_step(jax: Trace):
    planted = json.loads((FILES / "planted.json").read_text())["jax"]["planted_ns"]
    loads = [(start, end) for start, end, kind, _ in told(jax.host) if kind == "loading"]
    assert len(loads) == len(planted)
    for (start, end), taken, mark in zip(loads, planted, jax.marks, strict=True):
        assert mark.start <= start < end <= mark.end
        assert end - start == pytest.approx(taken, rel=0.01)


def test_operations_of_a_cpu_lie_on_threads_of_the_host(jax: Trace):
    found = {name: kind for _, _, kind, name in told(jax.host)}
    assert found["dot"] == "matrix"
    assert found["wrapped_tanh"] == "elementwise"
    assert found["ynn_fusion"] == "other"  # a call of a library: of what is not told
    assert found["PjitFunction(train)"] == "dispatch"
    assert "end: dot" not in found
    assert "ThunkExecutor::Execute" not in found
    assert jax.stacks


def test_kernels_of_a_gpu_by_stream(path: Path):
    lines = {"t20": "Stream #20(Compute)", "t21": "Stream #21(MemcpyH2D)", "t9": "XLA Ops", "t8": "XLA Modules"}
    events = [
        *named(HOST, "/host:CPU", t1="python"),
        *named(GPU, "/device:GPU:0", **lines, t7="Steps"),
        span(HOST, 1, 90, 50, "train", step_num="3"),
        span(HOST, 1, 100.5, 4.25, "cuLaunchKernel", correlation_id="77"),
        span(GPU, 20, 110.001, 8.5, "gemm_fusion_dot_5", kernel_details=GEMM, correlation_id="77", hlo_op="gemm_f.5"),
        span(GPU, 20, 120, 1, "loop_add_fusion", kernel_details="regs:16 grid:8,1,1 block:256,1,1", hlo_op="add"),
        span(GPU, 20, 122, 1, "unknown_kernel", hlo_op="reduce-scatter.2"),
        span(GPU, 21, 112, 2, "MemcpyH2D", memcpy_details="kind_src:pinned size:64"),
        span(GPU, 9, 110.001, 8.5, "gemm_fusion_dot_5"),
        span(GPU, 8, 110, 13, "jit_step(123)"),
        span(GPU, 7, 110, 13, "3"),
    ]
    trace = xla.read(write(path, events))
    assert told(trace.device) == [
        (110_001, 118_501, "matrix", "gemm_fusion_dot_5"),
        (112_000, 114_000, "upload", "MemcpyH2D"),
        (120_000, 121_000, "elementwise", "loop_add_fusion"),
        (122_000, 123_000, "transfer", "unknown_kernel"),
    ]
    shapes = [trace.device.shapes[number] for number in trace.device.shape]
    assert shapes == [Launch(128, 256, 168, 99_328), None, Launch(8, 256, 16, 0), None]
    assert trace.device.link.tolist() == [77, -1, -1, -1]
    assert told(trace.host) == [(100_500, 104_750, "launching", "cuLaunchKernel")]
    assert trace.host.link.tolist() == [77]
    assert trace.marks == (Mark(3, 90_000, 140_000),)
    assert trace.main == (HOST, 1)


def test_operations_of_a_tpu_with_what_they_take(path: Path):
    lines = {"t1": "Steps", "t2": "XLA Modules", "t3": "XLA Ops", "t4": "Async XLA Ops"}
    fusion = {"hlo_category": "convolution fusion", "model_flops": "268435456", "bytes_accessed": "4194304"}
    long_name = "%fusion.7 = bf16[512,512]{1,0} fusion(bf16[512,512]{1,0} %p0), kind=kOutput"
    backward = "jit(step)/transpose(jvp(Model))/dot_general:"
    events = [
        *named(TPU, "/device:TPU:0", **lines),
        span(TPU, 1, 0, 100, "5"),
        span(TPU, 1, 100, 100, "6"),
        span(TPU, 2, 0, 90, "jit_step(1)"),
        span(TPU, 3, 0, 50, "while.3", hlo_category="while"),
        span(TPU, 3, 1, 10, "fusion.7", long_name=long_name, tf_op=backward, **fusion),
        span(TPU, 3, 12, 4, "fusion.8", hlo_category="loop fusion", model_flops="0", bytes_accessed="1024"),
        span(TPU, 3, 20, 6, "all-gather-done.1", hlo_category="all-gather"),
        span(TPU, 3, 30, 6, "copy.4", hlo_category="data formatting"),
        span(TPU, 3, 40, 6, "custom-call.9", hlo_category="custom-call", tf_op="jit(step)/attn/flash_attention"),
        span(TPU, 4, 2, 20, "all-gather-start.1"),
    ]
    trace = xla.read(write(path, events))
    assert [(name, kind) for _, _, kind, name in told(trace.device)] == [
        ("fusion.7", "matrix"),
        ("fusion.8", "elementwise"),
        ("all-gather-done.1", "transfer"),
        ("copy.4", "copy"),
        ("custom-call.9", "attention"),
    ]
    work = trace.device.works[trace.device.work[0]]
    assert cost(work)[:3] == (268435456.0, 4194304.0, "bf16")
    assert trace.marks == (Mark(5, 0, 100_000), Mark(6, 100_000, 200_000))
    assert trace.training
    assert codes(trace) == {"steps-of-device"}


def test_marks_of_the_host_are_not_joined_to_a_tpu(path: Path):
    events = [
        *named(HOST, "/host:CPU", t1="python"),
        *named(TPU, "/device:TPU:0", t1="Steps", t3="XLA Ops"),
        span(HOST, 1, 0, 5, "train", step_num=0),
        span(TPU, 1, 100, 50, "0"),
        span(TPU, 3, 100, 50, "dot.1"),
    ]
    trace = xla.read(write(path, events))
    assert trace.marks == (Mark(0, 100_000, 150_000),)  # the host was done long before
    assert trace.main == (HOST, 1)
    assert codes(trace) == {"steps-of-device", "no-flops"}


def test_each_device_is_a_trace(path: Path):
    events = [
        *named(4, "/device:TPU:1", t3="XLA Ops"),
        *named(3, "/device:TPU:0", t3="XLA Ops"),
        *named(5, "/device:TPU:0 SparseCore 0", t3="XLA Ops"),
        *named(6, "/device:TPU:2", t3="XLA Ops"),
        span(3, 3, 1, 2, "dot.1"),
        span(4, 3, 5, 2, "dot.1"),
        span(5, 3, 7, 2, "gather.1"),
    ]
    traces = xla.read_all(write(path, events))
    assert [told(trace.device) for trace in traces] == [
        [(1_000, 3_000, "matrix", "dot.1")],
        [(5_000, 7_000, "matrix", "dot.1")],
    ]
    assert [trace.world for trace in traces] == [2, 2]
    assert traces[1].path.endswith("vm.trace.json.gz, TPU 1")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("all-reduce-start.3", "transfer"),
        ("collective-permute-done", "transfer"),
        ("send-done.1", "exchange"),
        ("recv", "exchange"),
        ("infeed.2", "upload"),
        ("outfeed", "download"),
        ("convolution.5", "matrix"),
        ("convert_element_type.5", "elementwise"),
        ("convert.5", "elementwise"),
        ("dot_general.12", "matrix"),
        ("dynamic-update-slice.3", "copy"),
        ("transpose.1", "copy"),
        ("gather.9", "embedding"),
        ("reduce-window.2", "reduction"),
        ("input_reduce_fusion", "reduction"),
        ("multiply_add_fusion.4", "elementwise"),
        ("softmax_fusion", "softmax"),
        ("layer_norm", "normalisation"),
        ("custom-call.1", "other"),
        ("while", "ignored"),
        ("conditional.3", "ignored"),
        ("call.1", "ignored"),
    ],
)
def test_what_operations_are(name: str, kind: str):
    assert xla._operation(name, "", "").name.lower() == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("$gc collect", "garbage"),
        ("$api.py:2479 block_until_ready", "waiting"),
        ("$threading.py:300 wait", "waiting"),
        ("data_load", "loading"),
        ("IteratorGetNext", "loading"),
        ("BlockHostUntilDone", "waiting"),
        ("PjRtStreamExecutorLoadedExecutable::Execute", "launching"),
        ("backend_compile", "dispatch"),
        ("cudaMalloc", "allocating"),
    ],
)
def test_what_the_host_does(path: Path, name: str, kind: str):
    events = [*named(HOST, "/host:CPU", t1="python"), span(HOST, 1, 5, 1, name)]
    assert [row[2] for row in told(xla.read(write(path, events)).host)] == [kind]


def test_events_that_cannot_be_used_are_counted(path: Path):
    events = [
        *named(HOST, "/host:CPU", t1="python"),
        *named(TPU, "/device:TPU:0", t3="XLA Ops"),
        span(TPU, 3, None, 1, "dot.1"),
        span(TPU, 3, 1, None, "dot.1"),
        span(TPU, 3, -1, 5, "dot.1"),
        span(TPU, 3, 1, -5, "dot.1"),
        span(TPU, 3, 5, 1, "dot.1"),
    ]
    trace = xla.read(write(path, events))
    assert trace.left_out == {
        "without a time stamp": 1,
        "without a duration": 1,
        "with a negative time stamp": 1,
        "with a negative duration": 1,
    }
    assert len(trace.device) == 1


def test_a_trace_that_is_cut_off(path: Path):
    whole = (FILES / "jax.trace.json.gz").read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    source = Source(path)
    assert xla.recognises(source)
    trace = xla.read(source)
    assert len(trace.host) > 0
    assert trace.left_out["behind the place where the file breaks off"] == 1


def test_a_trace_as_long_as_exporters_write_is_said_to_be_full(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(xla, "MOST_EVENTS", (4,))
    events = [*named(TPU, "/device:TPU:0", t3="XLA Ops"), *(span(TPU, 3, at, 1, "dot.1") for at in range(4))]
    assert "trace-full" in codes(xla.read(write(path, events)))
    assert "trace-full" not in codes(xla.read(write(path, events[:-1])))
