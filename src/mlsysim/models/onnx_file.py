"""Read an ONNX file into a table of operators: graph and shapes only, nothing is run.

Multiply-accumulates follow the usual convention (as in MLPerf's and torchvision's tables): padding counts as work,
biases and everything elementwise as none. FLOPs are twice that. Shapes come from ONNX's own shape inference; what it
leaves open is an error that names the nodes, never a guess. Reference for all operators: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.models.spec import Layer, NetworkSpec

Shape: TypeAlias = tuple[int, ...]
Dim: TypeAlias = int | str | None
"""One dimension of an input as a file states it: a size, the name of a free dimension, or nothing."""

_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
_CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv"}
_PRODUCTS = {"MatMul", "MatMulInteger", "QLinearMatMul"}
_RECURRENT = {"LSTM", "GRU", "RNN"}
_NOT_COUNTED = {"Attention", "DeformConv", "DFT", "STFT", "Einsum"}
"""Operators that multiply and accumulate but whose count is not written here: refused, because 0 would be a guess."""
_RENAMING = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"}
"""Operators whose output is their input under another shape or name: no run-time moves a byte for them."""
_SOURCES = {"Constant", "Shape", "Size"}
_FIRST_INPUT_ONLY = {"Resize", "Upsample", "Clip", "Pad"}
"""Operators whose further floating-point inputs are settings (scales, limits, a fill value), not parameters."""
_KINDS = {
    "Gemm": "linear", "ConvTranspose": "conv", "Add": "add", "Sub": "add", "Gather": "lookup", "Softmax": "softmax",
    "LogSoftmax": "softmax", "Concat": "copy", "Slice": "copy", "Split": "copy", "Transpose": "copy", "Pad": "copy",
    "Expand": "copy", "Tile": "copy", "Resize": "resize", "Upsample": "resize", "BatchNormalization": "norm",
    "LayerNormalization": "norm", "InstanceNormalization": "norm", "GroupNormalization": "norm", "RMSNormalization": "norm",
}  # fmt: skip
_FOLDED_ELEMENTS = 1024
"""The largest tensor that is computed in order to learn a shape: shapes and slice bounds are far smaller."""


def load_onnx(path: str | Path, *, shapes: Mapping[str, Sequence[int]] | None = None, sample: str = "sample") -> NetworkSpec:
    """Read an ONNX file as a :class:`NetworkSpec`, counted for one sample.

    Parameters
    ----------
    path
        The file. Weights kept beside it (external data) are not read.
    shapes
        The shape of one sample of each input with free dimensions, batch dimension 1 included:
        ``{"x": (1, 3, 640, 640)}``. A free first dimension is the batch; left out, it is 1.
    sample
        What the network takes one of: ``image``, ``window``.

    Returns
    -------
    One layer a compute node. Nodes that only rename, that make a shape or that depend on constants alone are left out.
    ``input_elements`` and ``output_elements`` are activations; a parameter is counted at its first use, once, however
    many nodes share it or stand between it and its use.

    Raises
    ------
    MissingExtra
        The onnx library is not installed.
    InvalidValue
        ``path``: missing, not ONNX, control flow, an operator that cannot be counted, or a node whose shape stays open.
        ``shapes``: an input whose dimensions are still unknown, or a shape that contradicts the file.
    """
    path = Path(path)
    model = _read(path)
    _refuse_what_cannot_be_counted(model, path)
    sizes = input_shapes(_stated_inputs(model), shapes)
    known = _infer(model, sizes)
    table = tuple(_layers(model.graph, known, path))
    if not table:
        raise InvalidValue("path", "an ONNX file with at least one compute node", str(path))
    stated = ", ".join(f"{name} {list(shape)}" for name, shape in sizes.items())
    return NetworkSpec(path.stem, table, sample, title=path.name, source=f"the file {path.name}",
                       retrieved=datetime.now(tz=UTC).date().isoformat(), note=f"one {sample} is {stated}")  # fmt: skip


def input_shapes(
    inputs: Mapping[str, Sequence[Dim]], shapes: Mapping[str, Sequence[int]] | None = None, batch: int = 1
) -> dict[str, Shape]:
    """Return the full shape of every input for ``batch`` samples.

    Parameters
    ----------
    inputs
        The dimensions that the file states: a size above 0, the name of a free dimension, or anything else for unknown.
    shapes
        The shape of one sample of an input, where the file leaves it free; its batch dimension is 1.
    batch
        What a free first dimension, and any other dimension of the same name, becomes.

    Raises
    ------
    InvalidValue
        A dimension is still unknown, contradicts the file, or the batch is fixed in the file and another was asked for.
    """
    shapes = dict(shapes or {})
    for name in shapes:
        if name not in inputs:
            raise InvalidValue("shapes", "keyed by inputs of the file: " + ", ".join(inputs), name)
    named: dict[str, int] = {}
    for name, dims in inputs.items():
        _bind(name, dims, shapes.get(name), batch, named)
    result = {name: _resolve(name, dims, shapes.get(name), batch, named) for name, dims in inputs.items()}
    if batch != 1 and not any(_free(dims[0]) for dims in inputs.values() if dims):
        raise InvalidValue("batch", "1 for a file whose inputs have a fixed first dimension", batch)
    return result


def _free(dim: Dim) -> bool:
    return not isinstance(dim, int) or dim < 1


def _bind(name: str, dims: Sequence[Dim], given: Sequence[int] | None, batch: int, named: dict[str, int]) -> None:
    """Check a given shape against the file and learn what it says about named dimensions."""
    field = f"shapes.{name}"
    if given is not None:
        if len(given) != len(dims) or any(not isinstance(n, int) or n < 1 for n in given):
            raise InvalidValue(field, f"{len(dims)} whole numbers above 0", tuple(given), f"the file states {list(dims)}")
        if dims and _free(dims[0]) and given[0] != 1:
            raise InvalidValue(field, "the shape of one sample, batch dimension 1", tuple(given))
    for axis, dim in enumerate(dims):
        if _free(dim):
            size = batch if axis == 0 else given[axis] if given is not None else None
            # The file is free to call an unknown dimension "?"; such a name says nothing about another dimension.
            if isinstance(dim, str) and dim not in {"", "?"} and size is not None:
                named.setdefault(dim, size)
        elif given is not None and given[axis] != dim:
            raise InvalidValue(field, f"{dim} in dimension {axis}, as the file fixes it", tuple(given), f"the file states {list(dims)}")


def _resolve(name: str, dims: Sequence[Dim], given: Sequence[int] | None, batch: int, named: Mapping[str, int]) -> Shape:
    sizes: list[int] = []
    for axis, dim in enumerate(dims):
        size = dim if not _free(dim) else batch if axis == 0 else named.get(str(dim), given[axis] if given is not None else 0)
        if not isinstance(size, int) or size < 1:
            example = tuple(1 if a == 0 else d if not _free(d) else "?" for a, d in enumerate(dims))
            raise InvalidValue("shapes", f"given for input {name!r}, whose dimension {axis} is free", dict.fromkeys([name], list(dims)),
                               f"the shape of one sample is needed: {{{name!r}: ({', '.join(map(str, example))})}}")  # fmt: skip
        sizes.append(size)
    return tuple(sizes)


def _read(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise MissingExtra("onnx", "models", f"reading {path.name}") from None
    if not path.is_file():
        raise InvalidValue("path", "an existing ONNX file", str(path))
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise InvalidValue("path", "an ONNX file", str(path), "its content cannot be decoded: truncated, or another format") from None
    except OSError as problem:
        raise InvalidValue("path", "a readable ONNX file", str(path), str(problem.strerror)) from None
    if not model.graph.node:
        raise InvalidValue("path", "an ONNX file", str(path), "it holds no graph: empty, truncated, or another format")
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _refuse_what_cannot_be_counted(model: Any, path: Path) -> None:
    for node in model.graph.node:
        if node.op_type in _CONTROL_FLOW and node.domain in {"", "ai.onnx"}:
            raise InvalidValue("path", "a graph without control flow", str(path),
                               f"node {_name(node)} ({node.op_type}) chooses or repeats work at run time, so the work of one sample is not fixed")  # fmt: skip
        if node.op_type in _NOT_COUNTED or node.domain not in {"", "ai.onnx"}:
            operator = f"{node.domain}.{node.op_type}".lstrip(".")
            raise InvalidValue("path", "a graph of operators whose work can be counted", str(path),
                               f"node {_name(node)} is a {operator}; export the model without fused or custom operators")  # fmt: skip


def _name(node: Any) -> str:
    return str(node.name or next(filter(None, node.output), node.op_type))


def _stated_inputs(model: Any) -> dict[str, list[Dim]]:
    """Return the inputs that are fed at run time: files of old versions list their initializers among the inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: [dim.dim_value or dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.input
        if value.name not in constants
    }


def _infer(model: Any, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shape of every value that shape inference can know.

    Inference and folding take turns: ONNX's inference follows a shape through few operators only, so what is computed
    from shapes alone (Shape, Slice, Concat, then Reshape) is evaluated by ONNX's reference implementation.
    """
    import onnx

    working = onnx.ModelProto()
    working.CopyFrom(model)
    if inputs != {name: tuple(dims) for name, dims in _stated_inputs(model).items()}:
        _set_inputs(working.graph, inputs)
    while True:
        inferred = onnx.shape_inference.infer_shapes(working, data_prop=True).graph
        known = {tensor.name: tuple(tensor.dims) for tensor in [*model.graph.initializer, *working.graph.initializer]}
        for value in [*inferred.input, *inferred.output, *inferred.value_info]:
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
                known.setdefault(value.name, tuple(dim.dim_value for dim in dims))
        if not _fold(working, known):
            return known


def _set_inputs(graph: Any, inputs: Mapping[str, Shape]) -> None:
    """Write the shapes into the graph, and clear what the file states about values further down: it held for others."""
    for value in graph.input:
        if value.name in inputs:
            value.type.tensor_type.ClearField("shape")
            for size in inputs[value.name]:
                value.type.tensor_type.shape.dim.add().dim_value = size
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _fold(model: Any, known: Mapping[str, Shape]) -> bool:
    """Replace the nodes that are computed from shapes and small constants by their values; return whether there were any."""
    import numpy as np
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer if math.prod(t.dims) <= _FOLDED_ELEMENTS and not t.external_data}
    found: list[Any] = []
    kept: list[Any] = []
    for node in graph.node:
        small = all(math.prod(known.get(name, (_FOLDED_ELEMENTS + 1,))) <= _FOLDED_ELEMENTS for name in node.output)
        if node.op_type in {"Shape", "Size"} and node.input[0] in known:
            # Any array of that shape will do: a broadcast scalar takes no memory.
            feeds = {node.input[0]: np.broadcast_to(np.float32(0), known[node.input[0]])}
        elif small and all(name in values for name in node.input if name):
            feeds = {name: values[name] for name in node.input if name}
        else:
            kept.append(node)
            continue
        outputs = ReferenceEvaluator(_alone(model, node)).run(None, feeds)
        values.update(zip(node.output, map(np.asarray, outputs), strict=True))
        found.append(node)
    if found:
        graph.initializer.extend(numpy_helper.from_array(values[name], name) for node in found for name in node.output)
        rest = [type(node).FromString(node.SerializeToString()) for node in kept]  # clearing the list frees its nodes
        del graph.node[:]
        graph.node.extend(rest)
    return bool(found)


def _alone(model: Any, node: Any) -> Any:
    from onnx import helper

    inputs = [helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(node.input) if name]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    return helper.make_model(helper.make_graph([node], "one", inputs, outputs), opset_imports=model.opset_import)


def _layers(graph: Any, known: Mapping[str, Shape], path: Path) -> Iterator[Layer]:
    """Yield the compute nodes; ``sources`` holds, for every constant value, the stored tensors it is made from."""
    sources: dict[str, tuple[str, ...]] = {tensor.name: (tensor.name,) for tensor in graph.initializer}
    stored: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    uncounted = set(sources)
    unresolved: list[str] = []
    for node in graph.node:
        inputs = [name for name in dict.fromkeys(node.input) if name]
        if node.op_type == "Constant":
            name = node.output[0]
            sources[name], stored[name] = (name,), _constant(node)
            uncounted.add(name)
        elif node.op_type in _SOURCES or all(name in sources for name in inputs):
            made_from = tuple(dict.fromkeys(s for name in inputs for s in sources.get(name, ())))
            sources.update(dict.fromkeys(node.output, () if node.op_type in _SOURCES else made_from))
        elif node.op_type not in _RENAMING:
            outputs = [name for name in node.output if name in used]
            if any(name not in known for name in [*inputs, *outputs]):
                unresolved.append(f"{_name(node)} ({node.op_type})")
            elif not _moves_nothing(node, known):
                macs = _macs(node, known)
                mine = [s for s in _operand_sources(node, sources) if s in uncounted and _is_parameter(stored[s], macs)]
                uncounted.difference_update(mine)
                active = [name for name in inputs if name not in sources]
                yield Layer(_name(node), _kind(node, known, sources), macs, sum(_elements(stored[s]) for s in mine),
                            sum(math.prod(known[n]) for n in active), sum(math.prod(known[n]) for n in outputs))  # fmt: skip
    if unresolved:
        more = f" and {len(unresolved) - 3} more" if len(unresolved) > 3 else ""
        raise InvalidValue("path", "a file in which ONNX can infer every shape", str(path), "no input or output shape for node "
                           + ", ".join(unresolved[:3]) + more + "; the sizes given may not fit the network, or a shape depends on data")  # fmt: skip


def _constant(node: Any) -> Any:
    """Return the tensor of a Constant node, or its list of numbers, or its one number."""
    attribute = node.attribute[0]
    for field in ("t", "floats", "ints", "f"):
        if attribute.HasField(field) if field in {"t", "f"} else getattr(attribute, field):
            return getattr(attribute, field)
    return 0


def _is_parameter(stored: Any, macs: int) -> bool:
    """Return whether a stored constant is data: shapes, axes, indices and masks are not, and integers of 32 bits only as bias."""
    from onnx import TensorProto as T  # noqa: N817  # six uses in two lines

    if not hasattr(stored, "data_type"):
        return not isinstance(stored, int) and any(isinstance(v, float) for v in ([stored] if isinstance(stored, float) else stored))
    return stored.data_type not in {T.INT64, T.UINT32, T.UINT64, T.BOOL, T.STRING} and (stored.data_type != T.INT32 or macs > 0)


def _elements(stored: Any) -> int:
    if hasattr(stored, "dims"):
        return math.prod(stored.dims)
    return 1 if isinstance(stored, float) else len(stored)


def _operand_sources(node: Any, sources: Mapping[str, tuple[str, ...]]) -> list[str]:
    data = node.input[:1] if node.op_type in _FIRST_INPUT_ONLY else node.input
    return list(dict.fromkeys(source for name in data for source in sources.get(name, ())))


def _moves_nothing(node: Any, known: Mapping[str, Shape]) -> bool:
    """Return whether a Transpose keeps the order of all dimensions above 1, so that its bytes stay where they are."""
    if node.op_type != "Transpose":
        return False
    shape = known[node.input[0]]
    order = next((list(a.ints) for a in node.attribute if a.name == "perm"), list(reversed(range(len(shape)))))
    long = [axis for axis in order if shape[axis] > 1]
    return long == sorted(long)


def _macs(node: Any, known: Mapping[str, Shape]) -> int:
    """Return the multiply-accumulates of a node, by the ONNX definition of its operator."""
    op, first, out = node.op_type, known.get(node.input[0], ()), math.prod(known.get(node.output[0], (0,)))
    if op in _CONVOLUTIONS:  # weight (out, in / groups, *kernel): each output element takes in / groups x kernel products
        return out * math.prod(known[_weight(node)][1:])
    if op == "ConvTranspose":  # weight (in, out / groups, *kernel): each input element meets out / groups x kernel weights
        return math.prod(first) * math.prod(known[_weight(node)][1:])
    if op == "Gemm":
        return out * first[0 if any(a.name == "transA" and a.i for a in node.attribute) else 1]
    if op in _PRODUCTS:
        return out * first[-1]
    if op in _RECURRENT:  # input (steps, batch, size) in either layout, W and R (directions, gates x hidden, size)
        return first[0] * first[1] * (math.prod(known[node.input[1]]) + math.prod(known[node.input[2]]))
    return 0


def _weight(node: Any) -> str:
    return str(node.input[3 if node.op_type == "QLinearConv" else 1])


def _kind(node: Any, known: Mapping[str, Shape], constants: Mapping[str, object]) -> str:
    op = node.op_type
    if op in _CONVOLUTIONS:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        return "depthwise" if groups > 1 and groups == known[node.input[0]][1] else "conv"
    if op in _PRODUCTS:
        second = node.input[3 if op == "QLinearMatMul" else 1]
        return "linear" if second in constants or node.input[0] in constants else "matmul"
    if op in _RECURRENT:
        return "recurrent"
    return "pool" if "Pool" in op else "reduce" if op.startswith(("Reduce", "Arg")) else _KINDS.get(op, "elementwise")
