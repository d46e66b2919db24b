"""The shape of every value in an ONNX graph, given the shape of one sample of each input.

Shapes come from ONNX's own inference and from evaluating what is computed from shapes alone; what stays open is left
open, for the caller to name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mlsysim.errors import InvalidValue
from mlsysim.units import whole

Shape: TypeAlias = tuple[int, ...]
Dim: TypeAlias = int | str | None
"""One dimension of an input as a file states it: a size, the name of a free dimension, or nothing."""

SHAPE_OPERATORS = {"Shape", "Size"}
"""Operators that read a shape, not the values."""
_FOLDED_ELEMENTS = 1024
"""The largest tensor that is computed in order to learn a shape; shapes and slice bounds are far smaller."""


def input_shapes(
    inputs: Mapping[str, Sequence[Dim]], shapes: Mapping[str, Sequence[int]] | None = None, batch: int = 1
) -> dict[str, Shape]:
    """Return the full shape of every input for ``batch`` samples.

    Parameters
    ----------
    inputs
        The dimensions that the file states: a size above 0, the name of a free one, or anything else for
        unknown.
    shapes
        The shape of one sample of an input that the file leaves free; its batch dimension is 1.
    batch
        What a free first dimension, and any other dimension of the same name, becomes.

    Raises
    ------
    InvalidValue
        A dimension is still unknown or contradicts the file, or the file fixes the batch and another was
        asked for.
    """
    given = {name: _checked(name, shape, inputs) for name, shape in (shapes or {}).items()}
    pairs = [pair for name, shape in given.items() for pair in zip(inputs[name], shape, strict=True)]
    named: dict[Dim, Dim] = {dim: size for dim, size in pairs if _named(dim)}
    batches = {dims[0] for dims in inputs.values() if dims and _named(dims[0])}
    result: dict[str, Shape] = {}
    for name, dims in inputs.items():
        known = given.get(name) or [named.get(dim, dim) for dim in dims]
        of_batch = [_free(dim) and (axis == 0 or dim in batches) for axis, dim in enumerate(dims)]
        sizes = [batch if batched else size for batched, size in zip(of_batch, known, strict=True)]
        if any(_free(size) for size in sizes):
            example = ", ".join(str(size) if _named(size) or not _free(size) else "?" for size in sizes)
            hint = f"the file states {list(dims)}; give the shape of one sample: {{{name!r}: ({example})}}"
            raise InvalidValue("shapes", f"given for input {name!r}", dict(shapes or {}), hint)
        result[name] = tuple(size for size in sizes if isinstance(size, int))
    if batch != 1 and not any(dims and _free(dims[0]) for dims in inputs.values()):
        raise InvalidValue("batch", "1 for a file whose inputs have a fixed first dimension", batch)
    return result


def _free(dim: Dim) -> bool:
    return not isinstance(dim, int) or dim < 1


def _named(dim: Dim) -> bool:
    """Return whether a dimension has a name that binds it to others; exporters call unknown ones "?"."""
    return isinstance(dim, str) and dim not in {"", "?"}


def _checked(name: str, shape: Sequence[int], inputs: Mapping[str, Sequence[Dim]]) -> Shape:
    field = f"shapes.{name}"
    if name not in inputs:
        raise InvalidValue("shapes", "keyed by the inputs of the file: " + ", ".join(inputs), name)
    dims, sizes = inputs[name], tuple(whole(size, field) for size in shape)
    agrees = len(sizes) == len(dims) and all(_free(d) or d == s for d, s in zip(dims, sizes, strict=True))
    if not agrees:
        raise InvalidValue(field, f"of the form {list(dims)} that the file states", sizes)
    if dims and _free(dims[0]) and sizes[0] != 1:
        raise InvalidValue(field, "the shape of one sample, with 1 in its batch dimension", sizes)
    return sizes


def stated_inputs(model: Any, path: Path) -> dict[str, list[Dim]]:
    """Return the inputs fed at run time; files of old versions list their initializers beside them."""
    constants = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in constants]
    for value in fed:
        if not value.type.tensor_type.HasField("shape"):
            hint = f"input {value.name!r} is none"
            raise InvalidValue("path", "a graph whose inputs are tensors of known rank", str(path), hint)
    return {v.name: [d.dim_value or d.dim_param or None for d in v.type.tensor_type.shape.dim] for v in fed}


def infer(model: Any, inputs: Mapping[str, Shape], path: Path) -> dict[str, Shape]:
    """Return the shape of every value that can be known.

    ONNX's inference follows the values of a shape through few operators only, so it takes turns with
    :func:`_fold`, which evaluates what is computed from shapes alone (Shape, Slice, Concat, then Reshape).
    """
    import onnx

    working = onnx.ModelProto()
    working.CopyFrom(model)
    if any(_free(dim) for dims in stated_inputs(model, path).values() for dim in dims):
        _set_inputs(working.graph, inputs)
    while True:
        try:
            inferred = onnx.shape_inference.infer_shapes(working, data_prop=True).graph
        except Exception as problem:  # of any kind: onnx has several, and none of them is the caller's fault
            hint = str(problem).strip().partition("\n")[0]
            raise InvalidValue("path", "a file in which ONNX can infer every shape", str(path), hint) from None
        known = {tensor.name: tuple(tensor.dims) for tensor in working.graph.initializer}
        for value in [*inferred.input, *inferred.output, *inferred.value_info]:
            tensor = value.type.tensor_type
            if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
                known.setdefault(value.name, tuple(dim.dim_value for dim in tensor.shape.dim))
        if not _fold(working, known):
            return known


def _set_inputs(graph: Any, inputs: Mapping[str, Shape]) -> None:
    """Write shapes into the graph, and clear what it states of values further down, for other inputs."""
    del graph.value_info[:]
    for value in [*graph.output, *(v for v in graph.input if v.name in inputs)]:
        value.type.tensor_type.ClearField("shape")
        for size in inputs.get(value.name, ()):
            value.type.tensor_type.shape.dim.add().dim_value = size


def _fold(model: Any, known: Mapping[str, Shape]) -> bool:
    """Replace nodes that depend on shapes and small constants alone by values; return whether any do."""
    import numpy as np
    from onnx import numpy_helper

    def small(name: str) -> bool:
        return name in known and math.prod(known[name]) <= _FOLDED_ELEMENTS

    graph = model.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer if small(t.name) and not t.external_data}
    folded: list[Any] = []
    kept: list[Any] = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type in SHAPE_OPERATORS:  # a scalar broadcast to the shape takes no memory
            feeds = {name: np.broadcast_to(np.float32(0), known[name]) for name in inputs if name in known}
        else:
            feeds = {name: values[name] for name in inputs if name in values}
        ready = len(feeds) == len(set(inputs)) and all(map(small, node.output))
        outputs = _evaluate(model, node, feeds) if ready else None
        (kept if outputs is None else folded).append(node)
        values.update(outputs or {})
    if folded:
        made = [name for node in folded for name in node.output]
        graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in made)
        kept = [type(node).FromString(node.SerializeToString()) for node in kept]  # clearing voids the items
        del graph.node[:]
        graph.node.extend(kept)
    return bool(folded)


def _evaluate(model: Any, node: Any, feeds: Mapping[str, Any]) -> dict[str, Any] | None:
    """Run one node in ONNX's reference implementation; None where that does not know the operator."""
    import numpy as np
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    inputs = [helper.make_empty_tensor_value_info(name) for name in feeds]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "one", inputs, outputs)
    one = helper.make_model(graph, opset_imports=model.opset_import)
    try:
        results = ReferenceEvaluator(one).run(None, dict(feeds))
    except Exception:  # of any kind; a shape that stays open for it is told with the node that needs it
        return None
    return dict(zip(node.output, map(np.asarray, results), strict=True))
