"""Attainable arithmetic: the best rate of square matrix products (2 n^3 FLOP) over sizes and libraries."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mlsysim.hardware.probe.repeats import repeat

Progress: TypeAlias = Callable[[str, float], None]
SIZES = (512, 1024, 2048)
"""Sides of the matrices: the smallest shows start-up cost, the largest is past every cache of one core."""


class GemmSample(NamedTuple):
    """One matrix product: best rate [FLOP/s], spread over the repeats and slowing within them [1]."""

    precision: str
    library: str
    threads: int
    size: int
    flops_per_s: float
    spread: float
    slowing: float = 0.0


def kinds() -> dict[tuple[str, str], Callable[[int, int], Any]]:
    """Return the products that can be measured, by precision and library: each takes a size and a thread count."""
    found: dict[tuple[str, str], Callable[[int, int], Any]] = {
        ("fp32", "numpy"): partial(_blas, np.float32),
        ("fp64", "numpy"): partial(_blas, np.float64),
    }
    if has_onnxruntime():
        found["fp32", "onnxruntime"] = partial(_session, "MatMul")
        found["int8", "onnxruntime"] = partial(_session, "MatMulInteger")
    if importlib.util.find_spec("torch"):
        found["bf16", "torch"] = _torch
    return found


def products(counts: tuple[int, ...], end: float, tell: Progress) -> Iterator[GemmSample]:
    """Yield a sample for each library, precision, thread count and size; the time left is shared evenly."""
    measured = kinds()
    plan = [(kind, threads, size) for kind in measured for threads in counts for size in SIZES]
    rate = 0.0
    for done, (kind, threads, size) in enumerate(plan):
        label = f"{' '.join(kind)}, {threads} threads, {size} x {size}"
        tell(label, done / len(plan))
        share = (end - time.perf_counter()) / (len(plan) - done)
        flops = 2 * size**3
        # The smallest is always measured; of a larger one, warm-up and two repeats must fit at the rate before it.
        if size > min(SIZES) and 3 * flops / rate > share:
            continue
        with measured[kind](size, threads) as run:
            best, spread, slowing = repeat(run, share)
        rate = flops / best
        yield GemmSample(*kind, threads, size, rate, spread, slowing)


@contextlib.contextmanager
def _blas(dtype: type, n: int, threads: int) -> Iterator[Callable[[], object]]:
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a: Any = rng.random((n, n)).astype(dtype)
    b: Any = rng.random((n, n)).astype(dtype)
    out: Any = np.empty((n, n), dtype)
    with threadpool_limits(limits=threads, user_api="blas"):
        yield lambda: np.matmul(a, b, out=out)


def has_onnxruntime() -> bool:
    """Return whether onnxruntime can be measured: it and onnx are installed."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


@contextlib.contextmanager
def _session(operator: str, n: int, threads: int) -> Iterator[Callable[[], object]]:
    """Give a product whose second matrix is constant, as in a network: it may be packed beforehand."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    integer = operator == "MatMulInteger"
    a = rng.integers(0, 256, (n, n), dtype=np.uint8) if integer else rng.random((n, n), dtype=np.float32)
    b = rng.integers(-128, 128, (n, n), dtype=np.int8) if integer else rng.random((n, n), dtype=np.float32)
    x = helper.make_tensor_value_info("x", TensorProto.UINT8 if integer else TensorProto.FLOAT, (n, n))
    y = helper.make_tensor_value_info("y", TensorProto.INT32 if integer else TensorProto.FLOAT, (n, n))
    node = helper.make_node(operator, ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(b, "w")])
    # Version 13 of the operators and 8 of the format are read by every onnxruntime since 2021.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    yield lambda: session.run(None, {"x": a})


@contextlib.contextmanager
def _torch(n: int, threads: int) -> Iterator[Callable[[], object]]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b = (torch.rand(n, n).to(torch.bfloat16) for _ in range(2))
    try:
        yield lambda: torch.mm(a, b)
    finally:
        torch.set_num_threads(before)
