"""What a step computes, moves and holds, itemised: the JSON contract of ``work`` and ``memory``, and their tables."""

from __future__ import annotations

from typing import Any

from mlsysim.models.ledger import Operator
from mlsysim.report.tables import Table
from mlsysim.units import si
from mlsysim.workload import Workload

PURPOSES = ("weights", "kv_cache", "activations", "workspace", "gradients", "optimizer")


def ledger_data(w: Workload) -> dict[str, Any]:
    """Return the ledger of a workload as plain data: each class of operators, totals, and the second count."""
    work = w.work()
    return {
        **_asked(w),
        "parameters": w.model.parameters,
        "active_parameters": w.model.active_parameters,
        "flops": float(work.flops),
        "bytes": {
            "weights": float(work.weight_bytes),
            "activations": float(work.activation_bytes),
            "kv": float(work.kv_bytes),
        },
        "items": float(work.items),
        "unit": work.unit,
        "operators": [_operator(op) for op in work.operators],
        "check": w.check(work)._asdict(),
        "conventions": {name: float(flops) for name, flops in w.flops_by_convention().items()},
    }


def memory_data(w: Workload) -> dict[str, Any]:
    """Return the bytes that a workload holds as plain data, by purpose and in all."""
    held = w.memory_bytes()
    return {**_asked(w), **{name: held.get(name, 0.0) for name in PURPOSES}, "total": sum(held.values())}


def ledger_table(w: Workload, data: dict[str, Any]) -> Table:
    """Return the ledger as a table with totals, the second count beneath."""
    rows = [_row(op) for op in data["operators"]]
    b = data["bytes"]
    total = {"name": "total", "kind": "", "count": "", "flops": data["flops"], "vector_operations": 0.0}
    total |= {"weight_bytes": b["weights"], "activation_bytes": b["activations"], "kv_bytes": b["kv"]}
    one = data["unit"].removesuffix("s")
    items = f"1 {one}" if data["items"] == 1 else f"{data['items']:,.4g} {data['unit']}"
    per_item = f"{si(data['flops'] / data['items'], 'FLOP')} a {one}"
    columns = ("operator", "kind", "count", "FLOPs", "weights", "activations", "KV cache", "FLOP/B")
    notes = [
        f"{data['parameters']:,} parameters, {data['active_parameters']:,} active; {items} a step, {per_item}",
        _check(data["check"]),
        *(f"{op['name']}: {op['vector_operations']:.3g} elementwise operations, which are no model FLOPs"
          for op in data["operators"] if op["vector_operations"]),
        "by convention: " + ", ".join(f"{name} {flops:.4g}" for name, flops in data["conventions"].items()),
    ]  # fmt: skip
    return Table(_title(w, "work"), columns, [*rows, _row(total)], frozenset(columns[2:]), caption="\n".join(notes))


def memory_table(w: Workload, data: dict[str, Any]) -> Table:
    """Return the bytes held, by purpose."""
    rows = [(name.replace("_", " "), si(data[name], "B", 4), f"{data[name] / data['total']:.1%}")
            for name in (*PURPOSES, "total") if data[name]]  # fmt: skip
    return Table(_title(w, "memory"), ("purpose", "bytes", "share"), rows, frozenset({"bytes", "share"}))


def _asked(w: Workload) -> dict[str, Any]:
    fields = ("phase", "precision", "batch_size", "seq_len", "context")
    return {"model": w.model.name, **{f: getattr(w, f) for f in fields}, "modifiers": w.modifiers.to_dict()}


def _title(w: Workload, what: str) -> str:
    sizes = {"batch": w.batch_size, "sequence": w.seq_len, "context": w.context}
    told = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
    return f"{w.model.name}, {what} of one {w.phase} step: {told}, {w.precision}"


def _operator(op: Operator) -> dict[str, Any]:
    values = {name: float(getattr(op, name)) for name in op._fields[3:]}
    moved = values["weight_bytes"] + values["activation_bytes"] + values["kv_bytes"]
    return {
        "name": op.name,
        "kind": op.kind,
        "count": op.count,
        **values,
        "intensity": values["flops"] / moved if moved else None,
    }


def _row(op: dict[str, Any]) -> tuple[str, ...]:
    sizes = [op["weight_bytes"], op["activation_bytes"], op["kv_bytes"]]
    intensity = f"{op['flops'] / sum(sizes):.3g}" if op["flops"] and sum(sizes) else ""
    return (
        op["name"],
        op["kind"],
        str(op["count"]),
        si(op["flops"], "FLOP") if op["flops"] else "",
        *(si(size, "B") if size else "" for size in sizes),
        intensity,
    )


def _check(check: dict[str, Any]) -> str:
    if check["formula"] is None:
        return "no second formula for this question"
    return f"checked: {check['formula']} = {check['flops']:.6g} FLOP, {check['relative_difference']:+.2g} from the sum"
