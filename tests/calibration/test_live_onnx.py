import pytest

from mlsysim.calibration.live.onnx import measure_onnx, over_rounds
from mlsysim.errors import InvalidValue, MissingExtra

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper  # noqa: E402  # after the check that it is there


@pytest.fixture
def network(tmp_path):
    """Embed 7 indices, scale them: one integer input and one float, both with a free batch."""
    table = helper.make_tensor("table", TensorProto.FLOAT, (2, 3), [0.0] * 6)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("Mul", ["e", "scale"], ["y"])]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", "T"]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["N", 1, 3]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [table])
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_measurement_says_what_ran_and_holds_its_steps(network):
    shares = []
    got = measure_onnx(
        network, 4, shapes={"ids": (1, 7)}, seconds=0.05, threads=1, progress=lambda _, s: shares.append(s)
    )
    assert (got.model, got.batch, got.threads) == ("tiny.onnx", 4, 1)
    assert got.shapes == {"ids": (4, 7), "scale": (4, 1, 3)}
    assert got.library.startswith("onnxruntime ")
    assert len(got.times_s) >= 5
    assert got.step_s.low <= got.step_s.value <= got.step_s.high
    assert got.throughput.value == pytest.approx(4 / got.step_s.value)
    assert got.throughput.low == pytest.approx(4 / got.step_s.high)
    assert got.dropped.steps % 5 == 1
    assert got.dropped.rule == "the first step, then MSER-5 (White 1997)"
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_stated_warmup_is_dropped_exactly(network):
    got = measure_onnx(network, 1, shapes={"ids": (1, 7)}, seconds=1e-9, threads=1, warmup=3)
    assert got.dropped == (3, "as asked")
    assert len(got.times_s) == 5


def test_a_slow_network_still_gets_enough_steps_for_an_interval(network):
    got = measure_onnx(network, 1, shapes={"ids": (1, 7)}, seconds=1e-9, threads=1)
    assert got.dropped.steps + len(got.times_s) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"shapes": None},
            "shapes must be given for input 'ids', got {}; the file states ['N', 'T'];"
            " give the shape of one sample: {'ids': (1, T)}",
        ),
        ({"batch": 0}, "batch must be a whole number of at least 1, got 0"),
        ({"seconds": -1}, "seconds must be greater than 0, got -1"),
        ({"threads": 1.5}, "threads must be a whole number of at least 1, got 1.5; the nearest is 2"),
        ({"warmup": -1}, "warmup must be a whole number of steps, at least 0, got -1"),
    ],
)
def test_a_wrong_argument_is_named(network, change, message):
    arguments = {"batch": 1, "shapes": {"ids": (1, 7)}, "seconds": 0.01, "threads": 1, **change}
    with pytest.raises(InvalidValue) as caught:
        measure_onnx(network, arguments.pop("batch"), **arguments)
    assert str(caught.value) == message


def test_a_file_that_cannot_be_loaded_or_found_is_named(tmp_path):
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(InvalidValue, match=r"path must be an ONNX file that onnxruntime can load, got .*text\.onnx"):
        measure_onnx(tmp_path / "text.onnx", 1)
    with pytest.raises(InvalidValue, match=r"path must be an existing ONNX file, got .*absent\.onnx"):
        measure_onnx(tmp_path / "absent.onnx", 1)


def test_onnxruntime_missing_is_told_with_the_extra_to_install(monkeypatch, network):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtra) as caught:
        measure_onnx(network, 1)
    assert str(caught.value) == "running tiny.onnx needs onnxruntime: pip install 'mlsysim[measure]'"


def test_sizes_measured_in_turn_are_of_the_same_rounds_by_hand():
    # Two moods, the second five times slower; a short step is taken eight times a round while fast, once while slow.
    short = over_rounds([[1.0] * 8] * 2 + [[5.0]] * 3)
    long = over_rounds([[10.0, 10.0]] * 2 + [[50.0, 50.0]] * 3)
    assert long.value / short.value == 10.0
    assert (short.value, short.low, short.high) == (5.0, 1.0, 5.0)
