"""Networks as the sums that their time depends on, made once a model: what one sample takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from mlsysim.models import NetworkSpec, TransformerSpec
from mlsysim.models.ledger import Sizes
from mlsysim.models.work import lower


class Sums(NamedTuple):
    """What one sample takes: operators sorted by FLOPs per element, running totals, and what does not depend on it.

    ``scores`` are the elements of attention that fused kernels keep, ``tables`` the parameters of tables and what a
    sample looks up of these, ``dispatched`` what a framework dispatches by operator, ``clustered`` what one does that
    compiles.
    """

    intensity: tuple[float, ...]
    conv: tuple[float, ...]
    matmul: tuple[float, ...]
    mixing: float
    elements: tuple[float, ...]
    scores: float
    unfused: float
    depthwise: float
    weights: float
    tables: tuple[tuple[float, float], ...]
    inputs: float
    products: float
    others: float
    dispatched: float
    clustered: float


_known: dict[tuple[int, int], tuple[object, Sums]] = {}


def sums(model: NetworkSpec | TransformerSpec, seq_len: int) -> Sums:
    """Return the sums of a model for one sample; they are made once."""
    kept = model.table if isinstance(model, NetworkSpec) else model  # a table is shared by specs of other steps
    key = id(kept), model.steps if isinstance(model, NetworkSpec) else seq_len
    found = _known.get(key)
    if found is None or found[0] is not kept:
        made = _network(model) if isinstance(model, NetworkSpec) else _sequence(model, seq_len)
        _known[key] = found = (kept, made)
    return found[1]


class _Op(NamedTuple):
    """All operators of one row."""

    kind: str
    kernels: float
    flops: float
    elements: float


_PRODUCTS = {"conv": "conv", "linear": "matmul", "matmul": "matmul", "depthwise": "depthwise", "attention": "mixing"}


def _network(m: NetworkSpec) -> Sums:
    ops = []
    for layer in m.table:
        n = float(layer.times * m.steps)
        kind = _PRODUCTS.get(layer.kind, layer.kind)
        if (layer.kind == "matmul" and not layer.parameters) or layer.kind == "softmax":
            kind = "mixing"
        elements = n * (layer.input_elements + layer.output_elements)
        ops.append(_Op(kind, n, 2.0 * n * layer.macs, elements))
    tables = [(r.parameters, r.touched) for r in m.totals if r.touched is not None]
    weights = sum(r.parameters for r in m.totals if r.touched is None)
    dispatched = sum(op.kernels * (_CONVOLUTION if op.kind in {"conv", "depthwise"} else 1.0) for op in ops)
    return _sorted(ops, weights, float(m.table[0].input_elements), dispatched, dispatched, tuple(tables))


def _sequence(m: TransformerSpec, seq_len: int) -> Sums:
    """Return the sums of an encoder; its ledger names groups: four products of attention, two of what follows."""
    ops, weights = [], 0.0
    for op in lower(m, "forward", batch_size=1, seq_len=seq_len, context=0, sizes=Sizes(1.0, 1.0, 1.0)).operators:
        kind, flops, elements = _PRODUCTS.get(op.kind, ""), float(op.flops), float(op.activation_bytes)
        weights += float(op.weight_bytes) if kind else 0.0
        ops.append(_Op(kind, op.count * _KERNELS.get(kind, 2.0), flops, elements))
    return _sorted(ops, weights, 0.0, _DISPATCHED * m.layers, _CLUSTERED * m.layers)


_KERNELS = {"matmul": 1.0, "mixing": 1.0}
_CONVOLUTION = 5.0
"""Operators that a framework dispatches for a convolution: itself, norm, activation, changes of layout and format."""
_DISPATCHED = 26.0
"""Operators that a framework dispatches for a layer of an encoder: 6 products with biases, 2 of attention, its softmax
and mask, 6 changes of layout, activation, 2 sums, 2 norms."""
_CLUSTERED = 14.0
"""Kernels of such a layer after compiling: 8 products, and what is between them in one each."""


def _sorted(
    ops: list[_Op],
    weights: float,
    inputs: float,
    dispatched: float,
    clustered: float,
    tables: tuple[tuple[float, float], ...] = (),
) -> Sums:
    ranked = sorted((op for op in ops if op.kind in {"conv", "matmul", "depthwise"}), key=_intensity)

    def running(values: Iterable[float]) -> tuple[float, ...]:
        return tuple(accumulate(values, initial=0.0))

    return Sums(
        tuple(map(_intensity, ranked)),
        running(op.flops * (op.kind == "conv") for op in ranked),
        running(op.flops * (op.kind == "matmul") for op in ranked),
        sum(op.flops for op in ops if op.kind == "mixing"),
        running(op.elements for op in ranked),
        sum(op.elements for op in ops if op.kind == "mixing"),
        sum(op.elements for op in ops if op.kind not in {"conv", "matmul", "depthwise", "mixing"}),
        sum(op.flops for op in ops if op.kind == "depthwise"),
        weights,
        tables,
        inputs,
        sum(op.kernels for op in ops if op.flops),
        sum(op.kernels for op in ops if not op.flops),
        dispatched,
        clustered,
    )


def _intensity(op: _Op) -> float:
    return op.flops / op.elements if op.elements else math.inf
