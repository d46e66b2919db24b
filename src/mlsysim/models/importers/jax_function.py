"""A JAX function as one operator: FLOPs as XLA's cost analysis counts them, from shapes alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlsysim.errors import InvalidValue, MissingExtra
from mlsysim.models.network import Layer, NetworkSpec


def from_jax(
    function: Any, parameters: Any, *inputs: Any, name: str = "", sample: str = "sample", batch_size: int = 1
) -> NetworkSpec:
    """Return ``function(parameters, *inputs)`` as a :class:`NetworkSpec` of one row.

    Parameters
    ----------
    function
        A function that JAX can trace.
    parameters
        Its first argument: a tree of arrays, or of ``jax.ShapeDtypeStruct``, that counts as the model's parameters.
    inputs
        Example inputs, or their ``jax.ShapeDtypeStruct``; nothing is computed.
    name, sample, batch_size
        Name of the spec, what it takes one of, and how many of these the inputs hold.

    Raises
    ------
    MissingExtra
        JAX is not installed.
    InvalidValue
        The function cannot be traced with these inputs, or XLA gives no cost for it.
    """
    try:
        import jax
    except ImportError:
        raise MissingExtra("jax", "pip install jax", "reading a JAX function") from None
    title = getattr(function, "__name__", type(function).__name__)
    try:
        lowered = jax.jit(function).lower(parameters, *inputs)
        cost = lowered.cost_analysis()
        made = jax.eval_shape(function, parameters, *inputs)
    except Exception as problem:  # of any kind: it is the function's own code that fails
        hint = f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"
        raise InvalidValue("function", "one that JAX can trace with these inputs", title, hint) from problem
    cost = cost[0] if isinstance(cost, list) else cost
    if not cost or "flops" not in cost:
        raise InvalidValue("function", "one that XLA knows the cost of", title)

    def elements(tree: Any) -> int:
        return sum(int(leaf.size) for leaf in jax.tree_util.tree_leaves(tree) if hasattr(leaf, "size"))

    macs = round(cost["flops"] / 2 / batch_size)
    row = Layer(
        title, "function", macs, elements(parameters), elements(inputs) // batch_size, elements(made) // batch_size
    )
    note = "XLA's cost analysis: elementwise operations count as FLOPs too, operators between are not itemised"
    today = datetime.now(tz=UTC).date().isoformat()
    return NetworkSpec(
        name or title, (row,), sample, title=title, source=f"JAX function {title}", retrieved=today, note=note
    )
