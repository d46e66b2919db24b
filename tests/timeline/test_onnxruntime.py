import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from timelines import codes, told

from mlsysim.calibration.logs.source import Source
from mlsysim.timeline import onnxruntime
from mlsysim.timeline.operators import NOTHING, Cost, cost
from mlsysim.timeline.trace import Launch, Mark, Trace

FILES = Path(__file__).parent / "files"


def event(ts: Any, dur: Any, name: str, cat: str = "Node", tid: int = 5, **args: Any) -> dict[str, Any]:
    return {"cat": cat, "pid": 5, "tid": tid, "dur": dur, "ts": ts, "ph": "X", "name": name, "args": args}


def node(ts: int, dur: int, op: str, provider: str = "CPUExecutionProvider", **more: Any) -> dict[str, Any]:
    return event(ts, dur, f"{op.lower()}_1_kernel_time", op_name=op, provider=provider, **more)


def sizes(inputs: list[list[int]], output: list[int], kind: str = "float", **more: int) -> dict[str, Any]:
    told = {name: str(value) for name, value in more.items()}  # numbers are written as text
    return {"input_type_shape": [{kind: i} for i in inputs], "output_type_shape": [{kind: output}], **told}


def read(path: Path, events: list[dict[str, Any]]) -> Trace:
    path.write_text("[\n" + ",\n".join(json.dumps(e) for e in events) + "\n]\n")
    return onnxruntime.read(Source(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "onnxruntime_profile.json"


@pytest.fixture(scope="module")
def recorded() -> Trace:
    return onnxruntime.read(Source(FILES / "onnxruntime.json.gz"))


def test_a_profile_is_known():
    assert onnxruntime.recognises(Source(FILES / "onnxruntime.json.gz"))
    assert not onnxruntime.recognises(Source(FILES / "plain.json.gz"))
    assert not onnxruntime.recognises(Source(FILES / "jax.trace.json.gz"))


def test_the_runs_are_the_steps(recorded: Trace):
    planted = json.loads((FILES / "planted.json").read_text())["onnxruntime"]["step_ns"]
    assert [mark.index for mark in recorded.marks] == [*range(10)]
    for mark, taken in zip(recorded.marks, planted, strict=True):
        # the caller's clock has the way from Python and back beside the run
        assert 0 < taken - (mark.end - mark.start) < 0.2 * taken
    assert not recorded.on_device
    assert recorded.left_out == {}
    assert codes(recorded) == {"whole-microseconds"}


def test_the_nodes_of_a_recorded_profile_with_what_they_do(recorded: Trace):
    found = {name: kind for _, _, kind, name in told(recorded.host)}
    assert found == {
        "FusedGemm": "matrix",
        "MatMul": "matrix",
        "Softmax": "softmax",
        "SequentialExecutor::Execute": "dispatch",
        "model_run": "dispatch",
    }
    works = [work for work in recorded.host.works if work]
    # 128 x 256 by 256 x 1024, and 128 x 1024 by 1024 x 256, of which the weights were packed and are not recorded
    assert [cost(work).flops for work in works] == [2 * 128 * 256 * 1024] * 2
    weights = 256 * 1024 * 4
    traffic = [131072 + 4096 + 524288 + weights, 524288 + 131072 + weights]
    assert [cost(work).traffic_bytes for work in works] == traffic
    assert {cost(work).precision for work in works} == {"fp32"}


@pytest.mark.parametrize(
    ("op", "operands", "flops", "traffic"),
    [
        ("MatMul", sizes([[8, 4, 16]], [8, 4, 32], activation_size=7), 2 * 8 * 4 * 32 * 16, 7 + 16 * 32 * 4),
        ("MatMul", sizes([[8, 4, 16], [8, 16, 2]], [8, 4, 2], activation_size=9), 2 * 8 * 4 * 2 * 16, 9),
        ("MatMul", sizes([[4, 16], [16, 2]], [4, 2], "float16", output_size=8), 2 * 4 * 2 * 16, 8),
        ("Gemm", sizes([[16, 4], [16, 2]], [4, 2]), 2 * 4 * 2 * 16, 0),  # the first is transposed
        ("MatMulNBits", sizes([[4, 16], [32, 1, 8]], [4, 32], parameter_size=256), 2 * 4 * 32 * 16, 256),
        ("Conv", sizes([[1, 3, 8, 8], [6, 3, 3, 3], [6]], [1, 6, 8, 8]), 2 * 6 * 64 * 27, 0),
        ("FusedConv", sizes([[1, 4, 8, 8], [4, 1, 3, 3]], [1, 4, 6, 6]), 2 * 4 * 36 * 9, 0),  # depth-wise
        ("MultiHeadAttention", sizes([[2, 10, 64], [2, 20, 64], [2, 20, 64]], [2, 10, 64]), 4 * 2 * 10 * 20 * 64, 0),
    ],
)
def test_flops_and_bytes_of_nodes(path: Path, op: str, operands: dict[str, Any], flops: int, traffic: int):
    trace = read(path, [node(1, 2, op, **operands)])
    done = cost(trace.host.works[trace.host.work[0]])
    assert done[:2] == (flops, traffic)


@pytest.mark.parametrize(
    "operands",
    [
        {},
        sizes([[1, 3, 8, 8]], [1, 6, 8, 8]),  # a convolution whose weights were packed
        {"input_type_shape": "none", "output_type_shape": 4},
        {"input_type_shape": [{"float": "x"}], "output_type_shape": [{"float": [1]}]},
    ],
)
def test_what_is_not_recorded_is_not_counted(path: Path, operands: dict[str, Any]):
    trace = read(path, [node(1, 2, "Conv", **operands)])
    assert cost(trace.host.works[trace.host.work[0]]) == NOTHING


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("Conv", "matrix"),
        ("LayerNormalization", "normalisation"),
        ("SkipSimplifiedLayerNormalization", "normalisation"),
        ("Gather", "embedding"),
        ("ReduceMean", "reduction"),
        ("QuantizeLinear", "quantizing"),
        ("DynamicQuantizeLinear", "quantizing"),
        ("MatMulNBits", "matrix"),
        ("GroupQueryAttention", "attention"),
        ("Transpose", "copy"),
        ("Gelu", "elementwise"),
        ("MyOwnOperator", "other"),
        ("TensorrtEngine_5", "other"),
    ],
)
def test_what_nodes_are(path: Path, op: str, kind: str):
    assert [row[2] for row in told(read(path, [node(1, 2, op)]).host)] == [kind]


def test_a_node_that_contains_a_graph_is_no_work_of_its_own(path: Path):
    trace = read(path, [node(5, 2, "Add"), node(1, 9, "Loop"), node(11, 2, "If"), node(15, 2, "Scan")])
    assert [row[3] for row in told(trace.host)] == ["Add"]


def test_runs_of_several_threads(path: Path):
    runs = [event(10 * at, 8, "model_run", "Session", tid=7) for at in range(3)]
    trace = read(path, [*runs, event(3, 5, "model_run", "Session", tid=8)])
    assert trace.marks == (Mark(0, 0, 8_000), Mark(1, 10_000, 18_000), Mark(2, 20_000, 28_000))
    assert trace.main == (5, 7)
    assert "runs-beside-each-other" in codes(trace)


def test_nodes_of_a_gpu_are_calls_and_that_is_said(path: Path):
    matrix = sizes([[4, 16], [16, 2]], [4, 2])
    trace = read(
        path,
        [
            node(1, 2, "MatMul", "CUDAExecutionProvider", **matrix),
            node(5, 2, "Relu", "CUDAExecutionProvider"),
            event(0, 9, "model_run", "Session"),
        ],
    )
    assert [row[2] for row in told(trace.host)] == ["dispatch", "launching", "launching"]
    assert not any(trace.host.works)
    assert trace.accelerator.name == "CUDA"
    assert "launches-only" in codes(trace)


def test_kernels_behind_their_node(path: Path):
    matrix = sizes([[4, 16], [16, 2]], [4, 2])
    grid = {"grid_x": "16", "grid_y": "2", "grid_z": "1", "block_x": "128", "block_y": "1", "block_z": "1"}
    trace = read(
        path,
        [
            event(0, 30, "model_run", "Session"),
            node(1, 2, "MatMul", "CUDAExecutionProvider", **matrix),
            event(10, 5, "ampere_sgemm_32x32", "Kernel", tid=-1, op_name="MatMul", stream="7", **grid),
            node(4, 2, "Relu", "CUDAExecutionProvider"),
            event(16, 2, "_UnaryElementWise<Relu>", "Kernel", tid=-1, op_name="Relu", stream="7", **grid),
        ],
    )
    assert told(trace.device) == [
        (10_000, 15_000, "matrix", "ampere_sgemm_32x32"),
        (16_000, 18_000, "elementwise", "_UnaryElementWise<Relu>"),
    ]
    assert trace.device.shapes == [Launch(32, 128)]
    works = [trace.device.works[number] for number in trace.device.work]
    assert cost(works[0]) == Cost(2 * 4 * 2 * 16, 0, "fp32")
    assert works[1] is None
    assert trace.accelerator.name == ""
    assert "launches-only" not in codes(trace)


def test_events_that_cannot_be_used_are_counted(path: Path):
    events = [event(at, dur, "model_run", "Session") for at, dur in ((None, 1), (1, None), (-1, 5), (1, -5), (9, 1))]
    trace = read(path, events)
    assert trace.left_out == {
        "without a time stamp": 1,
        "without a duration": 1,
        "with a negative time stamp": 1,
        "with a negative duration": 1,
    }
    assert len(trace.marks) == 1


def test_a_profile_that_is_cut_off(path: Path):
    whole = gzip.decompress((FILES / "onnxruntime.json.gz").read_bytes())
    path.write_bytes(whole[: len(whole) // 2])
    trace = onnxruntime.read(Source(path))
    assert 0 < len(trace.marks) < 10
    assert trace.left_out["behind the place where the file breaks off"] == 1


def test_a_session_that_ran_nothing(path: Path):
    trace = read(path, [event(1, 2, "session_initialization", "Session")])
    assert trace.marks == ()
    assert "no-runs" in codes(trace)
