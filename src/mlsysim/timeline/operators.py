"""FLOPs and bytes of an operator from the sizes of its operands, as a profiler records them with shapes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from mlsysim.timeline.trace import Operator

Sizes = Sequence[Any]

PRECISIONS = {
    "float": "fp32",
    "c10::BFloat16": "bf16",
    "c10::Half": "fp16",
    "double": "fp64",
    "signed char": "int8",
    "c10::Float8_e4m3fn": "fp8",
    "c10::Float8_e5m2": "fp8",
    "float16": "fp16",
    "bfloat16": "bf16",
    "int8": "int8",
    "uint8": "int8",
}
"""Types as PyTorch and ONNX Runtime write them."""
BYTES = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
"""Bytes of a value [B]."""
_BACKWARD_OF_ATTENTION = 2.5
"""Backward over forward of a fused attention: five products for two (Dao, FlashAttention-2, section 4.1)."""


class Cost(NamedTuple):
    """What an operator does: FLOPs, bytes of its operands and its result, its precision, rows and columns of a result.

    ``flops`` is 0 where the operator is not known or its operands are not; ``rows`` and ``columns`` 0 where its result
    is no single matrix.
    """

    flops: float
    traffic_bytes: float
    precision: str
    rows: int = 0
    columns: int = 0


NOTHING = Cost(0.0, 0.0, "")


@cache
def cost(operator: Operator) -> Cost:
    """Return what an operator does; :data:`NOTHING` where its operands do not tell."""
    try:
        told = json.loads(operator.arguments or b"[]")
        if isinstance(told, dict):
            return Cost(float(told["flops"]), float(told.get("bytes") or 0.0), str(told.get("precision") or ""))
        dims, types = json.loads(operator.dims), json.loads(operator.types or b"[]")
        count = _COUNTS.get(operator.name.removeprefix("aten::")) or _attention(operator.name)
        if count is None:
            return NOTHING
        flops, result = count(dims, told)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return NOTHING
    known = [PRECISIONS[t] for t in types if t in PRECISIONS]
    precision = known[0] if known else ""
    values = sum(math.prod(d) for d in dims if _is_size(d)) + math.prod(result)
    single = len(result) == 2 or (len(result) == 3 and result[0] == 1)
    rows, columns = (int(result[-2]), int(result[-1])) if single else (0, 0)
    return Cost(float(flops), float(values * BYTES.get(precision, 4)), precision, rows, columns)


def _is_size(dims: Any) -> bool:
    return isinstance(dims, list) and len(dims) > 0 and all(isinstance(d, int) for d in dims)


def _product(a: Sizes, b: Sizes) -> tuple[float, list[int]]:
    """Return the FLOPs of [..., m, k] x [..., k, n], 2 a multiply-accumulate, and the size of the result."""
    m, k, n = a[-2], a[-1], b[-1]
    if b[-2] != k:
        raise ValueError
    batch = a[:-2] if len(a) >= len(b) else b[:-2]
    return 2.0 * math.prod(batch) * m * k * n, [*batch, m, n]


def _first_two(dims: Sizes, _told: Any) -> tuple[float, list[int]]:
    if len(dims[1]) == 1:  # a vector: [m, k] x [k]
        return _product(dims[0], [dims[1][0], 1])
    return _product(dims[0], dims[1])


def _last_two(dims: Sizes, told: Any) -> tuple[float, list[int]]:
    return _first_two(dims[1:], told)


def _linear(dims: Sizes, _told: Any) -> tuple[float, list[int]]:
    return _product(dims[0], [dims[1][-1], dims[1][-2]])


def _convolution(dims: Sizes, told: Any) -> tuple[float, list[int]]:
    """Return the count of a convolution of [n, c, ...] with [o, c / groups, ...], from stride, padding and dilation."""
    data, weight = dims[0], dims[1]
    stride, padding, dilation = (json.loads(told[i]) for i in (3, 4, 5))
    if told[6] == "True":  # transposed: each input value meets the whole kernel
        return 2.0 * math.prod(data) * math.prod(weight[1:]), [*data]
    places = [
        (size + 2 * _at(padding, i) - _at(dilation, i) * (kernel - 1) - 1) // _at(stride, i) + 1
        for i, (size, kernel) in enumerate(zip(data[2:], weight[2:], strict=True))
    ]
    result = [data[0], weight[0], *places]
    return 2.0 * math.prod(result) * math.prod(weight[1:]), result


def _convolution_backward(dims: Sizes, _told: Any) -> tuple[float, list[int]]:
    """Return the count of both gradients of a convolution: of [n, o, ...] with respect to data and weights."""
    result, weight = dims[0], dims[2]
    return 4.0 * math.prod(result) * math.prod(weight[1:]), list(dims[1])


def _at(values: Sizes, i: int) -> int:
    return int(values[min(i, len(values) - 1)])


_COUNTS: dict[str, Callable[[Sizes, Any], tuple[float, list[int]]]] = {
    **dict.fromkeys(("mm", "bmm", "mv", "_int_mm", "_scaled_mm"), _first_two),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "_addmm_activation"), _last_two),
    **dict.fromkeys(("mkldnn_linear", "linear"), _linear),
    **dict.fromkeys(("_convolution", "convolution_overrideable"), _convolution),
    "convolution_backward": _convolution_backward,
}


def _attention(name: str) -> Callable[[Sizes, Any], tuple[float, list[int]]] | None:
    if "attention" not in name or "softmax" in name:
        return None
    backward = name.endswith("backward")
    place = 2 if "scaled_dot_product" in name else 1  # of the length: inner operators have the heads behind it

    def count(dims: Sizes, told: Any) -> tuple[float, list[int]]:
        query, key = (dims[1], dims[2]) if backward else (dims[0], dims[1])
        causal = any(word == "True" for word in told)
        flops = 4.0 * math.prod(query) * key[place] * (0.5 if causal else 1.0)
        return flops * (_BACKWARD_OF_ATTENTION if backward else 1.0), list(query)

    return count
