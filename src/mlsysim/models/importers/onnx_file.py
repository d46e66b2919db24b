"""Read an ONNX file into a table of operators: graph and shapes only, nothing is run.

Multiply-accumulates are counted as usual: padding is work, biases and everything elementwise are none; FLOPs
are twice that. Shapes come from ONNX's own shape inference; what it leaves open is an error that names the
nodes, never a guess. Operators: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlsysim.errors import InvalidValue, MissingExtra, MlsysimError
from mlsysim.models.importers.onnx_shapes import SHAPE_OPERATORS, Shape, infer, input_shapes, stated_inputs
from mlsysim.models.importers.onnx_slim import without_weights
from mlsysim.models.network import Layer, NetworkSpec

_STANDARD = {"", "ai.onnx"}
_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv"}
_PRODUCTS = {"MatMul", "MatMulInteger", "QLinearMatMul"}
_RECURRENT = {"LSTM", "GRU", "RNN"}
_NOT_COUNTED = {"Attention", "LinearAttention", "DeformConv", "DFT", "STFT", "Einsum"}
"""Operators that multiply and accumulate, but whose count is not written here: 0 would be a guess."""
_RENAMING = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"}
"""Operators whose output is their input under another name or shape: no byte needs to move."""
_FIRST_INPUT_ONLY = {"Resize", "Upsample", "Clip", "Pad"}
"""Operators whose further inputs are settings (scales, limits, a fill value), not parameters."""
_KINDS = {
    **dict.fromkeys(["Add", "Sub"], "add"),
    **dict.fromkeys(["Concat", "Slice", "Split", "Transpose", "Pad", "Expand", "Tile"], "copy"),
    **dict.fromkeys(["Resize", "Upsample"], "resize"),
    **dict.fromkeys(["Softmax", "LogSoftmax"], "softmax"),
    **dict.fromkeys(_RECURRENT, "recurrent"),
    "Gather": "lookup",
    "Gemm": "linear",
    "ConvTranspose": "conv",
}


def load_onnx(
    path: str | Path, *, shapes: Mapping[str, Sequence[int]] | None = None, sample: str = "sample"
) -> NetworkSpec:
    """Read an ONNX file as a :class:`NetworkSpec`, counted for one sample.

    Parameters
    ----------
    path
        The file. Weights are not read, whether in it or beside it (external data).
    shapes
        The shape of one sample of each input with free dimensions, batch dimension 1 included:
        ``{"x": (1, 3, 640, 640)}``. A free first dimension is the batch; left out, it is 1.
    sample
        What the network takes one of: ``image``, ``window``.

    Returns
    -------
    One layer a compute node. Left out are nodes that only rename, that make a shape, or that depend on
    constants alone. ``input_elements`` and ``output_elements`` are activations; a stored tensor counts as
    parameters once, at its first use, however many nodes share it or stand between it and that use.

    Raises
    ------
    MissingExtra
        The onnx library is not installed.
    InvalidValue
        ``path``: missing, not ONNX, control flow, an operator that cannot be counted, a shape that stays
        open. ``shapes``: an input whose dimensions are still unknown, or a shape that contradicts the file.
    """
    path = Path(path)
    model = _read(path)
    _refuse_what_cannot_be_counted(model, path)
    _refuse_cycles(model.graph, path)
    sizes = input_shapes(stated_inputs(model, path), shapes)
    try:
        table = tuple(_layers(model.graph, infer(model, sizes, path), path))
    except MlsysimError:
        raise
    except Exception as problem:  # of any kind: fields of a damaged file contradict each other in too many ways to list
        hint = f"its fields contradict each other ({type(problem).__name__}: {problem})"
        raise InvalidValue("path", "a whole ONNX file", str(path), hint) from problem
    if not table:
        raise InvalidValue("path", "an ONNX file with at least one compute node", str(path))
    told = ", ".join(f"{name} {list(shape)}" for name, shape in sizes.items())
    first = {shape[0] for shape in sizes.values() if shape}
    if len(first) == 1 and (several := first.pop()) > 1:
        told += f"; if {several} is a batch that the file fixes, a batch size counts batches of {several}"
    today = datetime.now(tz=UTC).date().isoformat()
    about: dict[str, Any] = {"title": path.name, "source": f"the file {path.name}", "retrieved": today}
    return NetworkSpec(path.stem, table, sample, note=f"one {sample} is {told}", **about)


def _read(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingExtra("onnx", "models", f"reading {path.name}") from None
    if not path.is_file():
        raise InvalidValue("path", "an existing ONNX file", str(path))
    try:
        model = onnx.load_from_string(without_weights(path))
    except DecodeError:
        hint = "its content cannot be decoded: truncated, or another format"
        raise InvalidValue("path", "an ONNX file", str(path), hint) from None
    if not model.graph.node:
        hint = "it holds no graph: empty, truncated, or another format"
        raise InvalidValue("path", "an ONNX file", str(path), hint)
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as problem:  # of any kind: the file contradicts itself
        hint = str(problem).strip().partition("\n")[0]
        raise InvalidValue("path", "an ONNX file whose functions can be inlined", str(path), hint) from None


def _refuse_what_cannot_be_counted(model: Any, path: Path) -> None:
    for node in model.graph.node:
        standard = node.domain in _STANDARD
        if standard and node.op_type in _CONTROL_FLOW:
            told = f"node {_name(node)} ({node.op_type})"
            hint = f"{told} chooses or repeats work at run time, so that a sample has no fixed work"
            raise InvalidValue("path", "a graph without control flow", str(path), hint)
        if not standard or node.op_type in _NOT_COUNTED:
            operator = node.op_type if standard else f"{node.domain}.{node.op_type}"
            hint = f"node {_name(node)} is a {operator}; export the model without fused and custom operators"
            raise InvalidValue("path", "a graph of operators whose work can be counted", str(path), hint)


def _refuse_cycles(graph: Any, path: Path) -> None:
    """Refuse a node that reads what only a later node makes: ONNX asks for nodes in order, so that there is a cycle."""
    made = {value.name for value in (*graph.input, *graph.initializer)}
    made |= {value.values.name for value in graph.sparse_initializer}
    later = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name and name not in made and name in later:
                hint = f"node {_name(node)} ({node.op_type}) reads {name}, which only a later node makes"
                raise InvalidValue("path", "a graph without cycles, its nodes in order", str(path), hint)
        made.update(node.output)


def _name(node: Any) -> str:
    return str(node.name or next(filter(None, node.output), node.op_type))


def _layers(graph: Any, known: Mapping[str, Shape], path: Path) -> Iterator[Layer]:
    """Yield the compute nodes, each with the parameters that no node before it has used."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored |= {node.output[0]: _constant(node) for node in graph.node if node.op_type == "Constant"}
    sources = {name: (name,) for name in stored}  # of every constant value: the stored tensors it is made from
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    counted: set[str] = set()
    unresolved: list[str] = []
    for node in graph.node:
        inputs = [name for name in dict.fromkeys(node.input) if name]
        outputs = [name for name in node.output if name in used]
        if node.op_type in SHAPE_OPERATORS or all(name in sources for name in inputs):
            made_from = () if node.op_type in SHAPE_OPERATORS else tuple(s for name in inputs for s in sources[name])
            sources |= {name: made_from for name in node.output if name not in stored}
        elif node.op_type in _RENAMING:
            continue
        elif any(name not in known for name in [*inputs, *outputs]):
            unresolved.append(f"{_name(node)} ({node.op_type})")
        elif not _moves_nothing(node, known):
            macs = _macs(node, known)
            operands = inputs[:1] if node.op_type in _FIRST_INPUT_ONLY else inputs
            new = {s for name in operands for s in sources.get(name, ()) if _is_parameter(stored[s], macs)} - counted
            counted |= new
            read = sum(math.prod(known[name]) for name in inputs if name not in sources)
            written = sum(math.prod(known[name]) for name in outputs)
            parameters = sum(math.prod(stored[s].dims) for s in new)
            yield Layer(_name(node), _kind(node, known, sources), macs, parameters, read, written)
    if unresolved:
        more = f" and {len(unresolved) - 3} more" if len(unresolved) > 3 else ""
        nodes = ", ".join(unresolved[:3]) + more
        hint = f"no input or output shape for node {nodes}: the sizes do not fit the network, or depend on data"
        raise InvalidValue("path", "a file in which ONNX can infer every shape", str(path), hint)


def _constant(node: Any) -> Any:
    """Return the tensor that a Constant node holds, in whichever of its attributes."""
    from onnx import TensorProto, helper

    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return value
    flat = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
    kind = TensorProto.FLOAT if attribute.name in {"value_float", "value_floats"} else TensorProto.INT64
    return TensorProto(name=node.output[0], dims=[len(flat)], data_type=kind)


def _is_parameter(tensor: Any, macs: int) -> bool:
    """Return whether a stored tensor is data; shapes, axes, indices and masks are not.

    A 32-bit integer is an index, but beside multiply-accumulates it is the bias of a quantized operator.
    """
    from onnx import TensorProto

    never = {TensorProto.INT64, TensorProto.UINT64, TensorProto.UINT32, TensorProto.BOOL, TensorProto.STRING}
    return tensor.data_type not in never and (tensor.data_type != TensorProto.INT32 or macs > 0)


def _moves_nothing(node: Any, known: Mapping[str, Shape]) -> bool:
    """Return whether a Transpose keeps the order of all dimensions above 1, so that no byte moves."""
    if node.op_type != "Transpose":
        return False
    shape = known[node.input[0]]
    order = _attribute(node, "perm", list(reversed(range(len(shape)))))
    long = [axis for axis in order if shape[axis] > 1]
    return long == sorted(long)


def _macs(node: Any, known: Mapping[str, Shape]) -> int:
    """Return the multiply-accumulates of a node, by the ONNX definition of its operator."""
    op, first, out = node.op_type, known[node.input[0]], math.prod(known.get(node.output[0], ()))
    if op in _CONVOLUTIONS:  # weight (out, in / groups, *kernel): so many products make one output element
        return out * math.prod(known[_second(node)][1:])
    if op == "ConvTranspose":  # weight (in, out / groups, *kernel): so many products take one input element
        return math.prod(first) * math.prod(known[_second(node)][1:])
    if op == "Gemm":
        return out * first[0 if _attribute(node, "transA", 0) else 1]
    if op in _PRODUCTS:
        return out * first[-1]
    if op in _RECURRENT:  # input (steps, batch, size) in either layout; W and R (directions, gates x hidden, ...)
        return first[0] * first[1] * sum(math.prod(known[name]) for name in node.input[1:3])
    return 0


def _second(node: Any) -> str:
    """Return the name of the second factor, which follows scale and zero point in quantized operators."""
    return str(node.input[3 if node.op_type.startswith("QLinear") else 1])


def _kind(node: Any, known: Mapping[str, Shape], constants: Mapping[str, object]) -> str:
    op = node.op_type
    if op in _CONVOLUTIONS:
        return "depthwise" if 1 < _attribute(node, "group", 1) == known[node.input[0]][1] else "conv"
    if op in _PRODUCTS:
        return "linear" if {node.input[0], _second(node)} & set(constants) else "matmul"
    for part, kind in (("Pool", "pool"), ("Normalization", "norm"), ("Reduce", "reduce"), ("Arg", "reduce")):
        if part in op:
            return kind
    return _KINDS.get(op, "elementwise")


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def load(path: Path) -> NetworkSpec:
    """Read an ONNX file whose input shapes are all known, for one sample."""
    return load_onnx(path)
