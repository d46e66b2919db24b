import importlib.util
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim.errors import InvalidValue, MissingExtra, MlsysimError
from mlsysim.models.importers.onnx_file import input_shapes, load_onnx
from mlsysim.models.importers.onnx_slim import without_weights

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
np = pytest.importorskip("numpy")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # after the check that it is there


def weight(name, *shape, dtype="float32"):
    return numpy_helper.from_array(np.zeros(shape, dtype), name)


def write(path, nodes, inputs, weights=(), outputs=("y",), opset=13, **more):
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        list(weights),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **more), path)
    return path


node = helper.make_node


def test_a_small_network_has_the_counts_done_by_hand(tmp_path):
    path = write(
        tmp_path / "tiny.onnx",
        [
            node("Conv", ["x", "w1", "b1"], ["a"], name="stem", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Relu", ["a"], ["b"], name="relu"),
            node("Conv", ["b", "w2"], ["c"], name="dw", group=8, pads=[1, 1, 1, 1]),
            node("ConvTranspose", ["c", "w3"], ["d"], name="up", strides=[2, 2]),
            node("GlobalAveragePool", ["d"], ["e"], name="gap"),
            node("Flatten", ["e"], ["f"], name="flat"),
            node("Gemm", ["f", "w4", "b4"], ["y"], name="fc", transB=1),
        ],
        {"x": ["N", 3, 8, 8]},
        [
            weight("w1", 8, 3, 3, 3),
            weight("b1", 8),
            weight("w2", 8, 1, 3, 3),
            weight("w3", 8, 4, 2, 2),
            weight("w4", 10, 4),
            weight("b4", 10),
        ],
    )
    spec = load_onnx(path, sample="image")
    assert [layer[:6] for layer in spec.table] == [
        ("stem", "conv", 8 * 4 * 4 * 27, 216 + 8, 3 * 8 * 8, 8 * 4 * 4),
        ("relu", "elementwise", 0, 0, 128, 128),
        ("dw", "depthwise", 8 * 4 * 4 * 9, 72, 128, 128),
        ("up", "conv", 128 * 16, 128, 128, 4 * 8 * 8),
        ("gap", "pool", 0, 0, 256, 4),
        ("fc", "linear", 40, 50, 4, 10),
    ]
    assert (spec.name, spec.sample, spec.note) == ("tiny", "image", "one image is x [1, 3, 8, 8]")


def test_products_of_activations_differ_from_those_with_weights(tmp_path):
    path = write(
        tmp_path / "attention.onnx",
        [
            node("MatMul", ["x", "w"], ["q"], name="q"),
            node("Transpose", ["x"], ["k"], name="t", perm=[0, 2, 1]),
            node("MatMul", ["q", "k"], ["s"], name="s"),
            node("Softmax", ["s"], ["y"], name="p"),
        ],
        {"x": ["N", 6, 5]},
        [weight("w", 5, 5)],
    )
    kinds = {layer.name: (layer.kind, layer.macs, layer.parameters) for layer in load_onnx(path).table}
    assert kinds == {
        "q": ("linear", 6 * 5 * 5, 25),
        "t": ("copy", 0, 0),
        "s": ("matmul", 6 * 6 * 5, 0),
        "p": ("softmax", 0, 0),
    }


def test_a_shared_weight_behind_identity_and_constant_nodes_is_counted_once(tmp_path):
    path = write(
        tmp_path / "shared.onnx",
        [
            node("Identity", ["w"], ["w.1"]),
            node("Identity", ["w.1"], ["w.2"]),
            node("Constant", [], ["b"], value=weight("b", 4)),
            node("Transpose", ["w"], ["wt"]),
            node("MatMul", ["x", "w.1"], ["a"], name="first"),
            node("MatMul", ["a", "w.2"], ["c"], name="second"),
            node("MatMul", ["c", "wt"], ["d"], name="third"),
            node("Add", ["d", "b"], ["y"], name="bias"),
        ],
        {"x": [1, 4]},
        [weight("w", 4, 4), weight("unused", 99)],
    )
    spec = load_onnx(path)
    assert [(layer.name, layer.macs, layer.parameters) for layer in spec.table] == [
        ("first", 16, 16),
        ("second", 16, 0),
        ("third", 16, 0),
        ("bias", 0, 4),
    ]


def test_shapes_computed_from_shapes_are_followed_and_are_no_layers(tmp_path):
    path = write(
        tmp_path / "flatten.onnx",
        [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", "zero", "one"], ["n"]),
            node("Concat", ["n", "minus"], ["target"], axis=0),
            node("Reshape", ["x", "target"], ["f"]),
            node("MatMul", ["f", "w"], ["y"], name="fc"),
        ],
        {"x": ["N", 3, 4]},
        [numpy_helper.from_array(np.array([v]), n) for n, v in (("zero", 0), ("one", 1), ("minus", -1))]
        + [weight("w", 12, 7)],
        opset=11,
    )
    assert [layer[:6] for layer in load_onnx(path).table] == [("fc", "linear", 84, 84, 12, 7)]


def test_a_quantized_product_counts_its_weights_and_its_integer_bias(tmp_path):
    scales = [numpy_helper.from_array(np.float32(1), n) for n in ("xs", "ws", "ys")]
    zeros = [numpy_helper.from_array(np.uint8(0), n) for n in ("xz", "wz", "yz")]
    names = ["x8", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    path = write(
        tmp_path / "int8.onnx",
        [
            node("QuantizeLinear", ["x", "xs", "xz"], ["x8"], name="quantize"),
            node("QLinearConv", names, ["y8"], name="conv"),
            node("DequantizeLinear", ["y8", "ys", "yz"], ["y"], name="dequantize"),
        ],
        {"x": [1, 2, 4, 4]},
        [*scales, *zeros, weight("w", 3, 2, 1, 1, dtype="uint8"), weight("b", 3, dtype="int32")],
    )
    # 6 weights, 3 biases, and scale and zero point of weight and output; those of the input were counted before.
    conv = load_onnx(path).table[1]
    assert (conv.kind, conv.macs, conv.parameters) == ("conv", 3 * 4 * 4 * 2, 6 + 3 + 4)


def test_a_recurrent_layer_multiplies_input_and_state_at_every_step(tmp_path):
    path = write(
        tmp_path / "lstm.onnx",
        [node("LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=5)],
        {"x": [7, 1, 3]},
        [weight("w", 1, 20, 3), weight("r", 1, 20, 5)],
    )
    assert [layer[:6] for layer in load_onnx(path).table] == [("lstm", "recurrent", 7 * 160, 160, 21, 35)]


FREE = {"x": ["N", 3, "H", "W"], "mask": ["N", "H"]}


def test_free_dimensions_come_from_the_batch_the_shapes_and_their_names():
    assert input_shapes(FREE, {"x": (1, 3, 4, 6)}, 2) == {"x": (2, 3, 4, 6), "mask": (2, 4)}
    assert input_shapes({"state": [2, "b", 8], "x": ["b", 4]}, None, 3) == {"state": (2, 3, 8), "x": (3, 4)}


@pytest.mark.parametrize(
    ("shapes", "batch", "message"),
    [
        (
            None,
            1,
            "shapes must be given for input 'x', got {}; the file states ['N', 3, 'H', 'W'];"
            " give the shape of one sample: {'x': (1, 3, H, W)}",
        ),
        (
            {"x": (1, 4, 8, 8)},
            1,
            "shapes.x must be of the form ['N', 3, 'H', 'W'] that the file states, got (1, 4, 8, 8)",
        ),
        ({"x": (1, 3, 8)}, 1, "shapes.x must be of the form ['N', 3, 'H', 'W'] that the file states, got (1, 3, 8)"),
        (
            {"x": (2, 3, 8, 8)},
            1,
            "shapes.x must be the shape of one sample, with 1 in its batch dimension, got (2, 3, 8, 8)",
        ),
        ({"x": (1, 3, 8, 0)}, 1, "shapes.x must be a whole number of at least 1, got 0"),
        ({"z": (1,)}, 1, "shapes must be keyed by the inputs of the file: x, mask, got 'z'"),
    ],
)
def test_a_wrong_shape_is_answered_with_what_the_file_states(shapes, batch, message):
    with pytest.raises(InvalidValue) as caught:
        input_shapes(FREE, shapes, batch)
    assert str(caught.value) == message


def test_a_fixed_batch_cannot_be_changed():
    with pytest.raises(
        InvalidValue, match="batch must be 1 for a file whose inputs have a fixed first dimension, got 2"
    ):
        input_shapes({"x": [1, 3]}, None, 2)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it holds no graph"),
        (b"hello, this is text\n", "its content cannot be decoded"),
        (None, "its content cannot be decoded"),
    ],
)
def test_a_file_that_is_not_onnx_is_refused(tmp_path, content, why):
    path = tmp_path / "net.onnx"
    if content is None:  # truncated
        write(path, [node("MatMul", ["x", "w"], ["y"])], {"x": [1, 50]}, [weight("w", 50, 50)])
        content = path.read_bytes()[:5000]
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match=f"path must be an ONNX file, got .*; {why}") as caught:
        load_onnx(path)
    assert caught.value.field == "path"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidValue, match=r"path must be an existing ONNX file, got .*absent\.onnx"):
        load_onnx(tmp_path / "absent.onnx")


def test_control_flow_is_refused(tmp_path):
    branch = helper.make_graph(
        [node("Relu", ["x"], ["r"])], "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    )
    path = write(
        tmp_path / "if.onnx",
        [node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)],
        {"x": [1, 2]},
        [weight("c", 1, dtype="bool")],
    )
    with pytest.raises(
        InvalidValue, match=r"path must be a graph without control flow, .*; node choice \(If\) chooses"
    ):
        load_onnx(path)


@pytest.mark.parametrize(
    ("operator", "domain", "told"), [("Einsum", "", "Einsum"), ("Fused", "com.me", "com.me.Fused")]
)
def test_an_operator_without_a_known_count_is_refused(tmp_path, operator, domain, told):
    path = write(tmp_path / "odd.onnx", [node(operator, ["x"], ["y"], name="odd", domain=domain)], {"x": [1, 2]})
    with pytest.raises(InvalidValue, match=f"path must be a graph of operators whose work .*; node odd is a {told};"):
        load_onnx(path)


def test_a_shape_that_depends_on_data_is_named_not_guessed(tmp_path):
    path = write(
        tmp_path / "data.onnx",
        [
            node("NonZero", ["x"], ["i"], name="where"),
            node("Cast", ["i"], ["f"], name="cast", to=TensorProto.FLOAT),
            node("Relu", ["f"], ["y"], name="relu"),
        ],
        {"x": [1, 9]},
    )
    with pytest.raises(InvalidValue) as caught:
        load_onnx(path)
    assert "no input or output shape for node where (NonZero), cast (Cast), relu (Relu)" in str(caught.value)


def test_onnx_missing_is_told_with_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtra) as caught:
        load_onnx("net.onnx")
    assert str(caught.value) == "reading net.onnx needs onnx: pip install 'mlsysim[models]'"


REAL = importlib.util.find_spec("rapidocr")


@pytest.mark.skipif(REAL is None, reason="rapidocr, which brings the files, is not installed")
@pytest.mark.parametrize(("pattern", "shape"), [("*det*.onnx", (1, 3, 320, 320)), ("*rec*.onnx", (1, 3, 48, 320))])
def test_a_real_network_is_counted_like_its_own_run_counts_it(tmp_path, pattern, shape):
    """The oracle: shapes of the tensors that onnxruntime saw in an unoptimized run, and its weights."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    found = sorted((Path(REAL.origin).parent / "models").glob(pattern))
    if not found:
        pytest.skip("rapidocr came without this file")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights are missing in the profile
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "run")
    session = runtime.InferenceSession(str(found[0]), options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})
    events = __import__("json").loads(Path(session.end_profiling()).read_text())
    macs = 0
    for event in events:
        about = event.get("args", {})
        if event["name"].endswith("_kernel_time") and about.get("op_name") in {"Conv", "ConvTranspose", "MatMul"}:
            first, second = (next(iter(entry.values())) for entry in about["input_type_shape"][:2])
            (output,) = (next(iter(entry.values())) for entry in about["output_type_shape"])
            macs += {
                "Conv": np.prod(output) * np.prod(second[1:]),
                "ConvTranspose": np.prod(first) * np.prod(second[1:]),
                "MatMul": np.prod(output) * first[-1],
            }[about["op_name"]]
    spec = load_onnx(found[0], shapes={session.get_inputs()[0].name: shape})
    assert spec.macs == macs
    # A file is its fp32 weights and a little graph: 1.2 % of it here, names and shapes.
    assert 0.97 < 4 * spec.parameters / found[0].stat().st_size < 1


def test_weights_in_the_file_are_passed_over(tmp_path):
    big = np.zeros((1024, 1024), "float32")
    path = write(
        tmp_path / "big.onnx",
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("Constant", [], ["c"], value=numpy_helper.from_array(big)),
            node("MatMul", ["a", "c"], ["y"]),
        ],
        {"x": [1, 1024]},
        [numpy_helper.from_array(big, "w")],
    )
    assert path.stat().st_size > 8e6
    assert len(without_weights(path)) < 1000
    spec = load_onnx(path)
    assert (spec.parameters, spec.macs) == (2 * 1024**2, 2 * 1024**2)


def test_a_cycle_is_told_with_the_node_that_closes_it(tmp_path):
    nodes = [node("Add", ["x", "c"], ["a"], name="add"), node("Relu", ["a"], ["c"])]
    path = write(tmp_path / "c.onnx", nodes, {"x": [1, 8]}, outputs=("c",))
    with pytest.raises(InvalidValue, match=r"node add \(Add\) reads c, which only a later node makes"):
        load_onnx(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cut_or_scrambled_file_is_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.onnx"
    write(path, [node("Gemm", ["x", "w"], ["y"], transB=1)], {"x": [1, 8]}, [weight("w", 4, 8)])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with suppress(MlsysimError):
        assert load_onnx(path).table
