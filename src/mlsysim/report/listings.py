"""What there is, as tables: models, hardware, the guide; each figure with where it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlsysim.efficiency.evidence import Percentiles
from mlsysim.efficiency.guide import GuideRow
from mlsysim.evidence.listing import Listed
from mlsysim.hardware import Figure, HardwareSpec
from mlsysim.hardware.check import by_clock
from mlsysim.hardware.nodes import DIMENSIONS, NodeSpec
from mlsysim.models import (
    Attention,
    Block,
    Convolution,
    Experts,
    LatentAttention,
    LinearAttention,
    Mlp,
    ModelSpec,
    NetworkSpec,
    StateSpace,
)
from mlsysim.models.parts import Part
from mlsysim.physics.performance import ridge_point
from mlsysim.precision import BYTES
from mlsysim.report.tables import Table
from mlsysim.units import si


def guide_table(rows: Iterable[GuideRow]) -> Table:
    """Return the guide: classical range, published percentiles, ceiling, and what to make of it."""
    cells = [
        (
            g.scenario,
            f"{g.low:.2f}-{g.high:.2f}",
            _three(g.measured),
            _three(g.attainment),
            f"{g.measured.n} / {g.measured.sources}",
            "unknown" if g.ceiling is None else f"{g.ceiling:.2g}",
            g.rationale,
            g.verdict,
            f"{g.example} on {g.device}",
            ", ".join(g.sources),
        )
        for g in rows
    ]
    columns = ("scenario", "classical eta", "published eta", "attainment", "n / sources", "ceiling")
    beneath = ("rationale", "verdict", "ceiling of", "sources")
    caption = "published eta and attainment (eta / ceiling): p10 / median / p90"
    return Table("What eta to expect", (*columns, *beneath), cells, frozenset(columns[1:]), frozenset(beneath), caption)


def _three(p: Percentiles) -> str:
    return f"{p.p10:.2g} / {p.median:.2g} / {p.p90:.2g}"


def evidence_table(rows: Sequence[Listed]) -> Table:
    """Return published measurements, a line each."""
    cells = [
        (
            r.regime,
            r.model,
            r.hardware,
            f"{r.devices}",
            r.precision,
            "" if r.batch_size is None else f"{r.batch_size}",
            r.engine,
            si(r.step_s, "s"),
            "" if r.efficiency is None else f"{r.efficiency:.3g}",
            "" if r.attainment is None else f"{r.attainment:.2g}",
            r.published,
            r.source,
        )
        for r in rows
    ]
    columns = ("regime", "model", "hardware", "devices", "precision", "batch", "engine", "time", "eta", "attainment")
    numbers = frozenset({"devices", "batch", "time", "eta", "attainment"})
    caption = "addresses and places: -o csv or -o json"
    return Table(f"{len(rows):,} measurements", (*columns, "published", "source"), cells, numbers, frozenset(), caption)


def models_table(models: Iterable[ModelSpec]) -> Table:
    """Return models by name with parameters and shape."""
    rows = [(m.name, si(m.parameters, ""), _shape(m), m.title) for m in models]
    return Table("Models", ("name", "parameters", "shape", "title"), rows, frozenset({"parameters"}))


def model_table(m: ModelSpec) -> Table:
    """Return every fact of a model, with its source."""
    counts = [("parameters", f"{m.parameters:,}"), ("shape", _shape(m))]
    if isinstance(m, NetworkSpec):
        counts += [(f"multiply-accumulates per {m.sample}", f"{m.macs:,}")]
    else:
        kv = 2 * m.kv_elements
        counts += [
            ("active parameters", f"{m.active_parameters:,}"),
            ("multiplying a token, LM head included", f"{m.matmul_parameters:,}"),
            ("vocabulary", f"{m.vocab:,}"),
            ("KV cache per token in 16 bits", si(kv, "B")),
            *([("recurrent state per sequence in 16 bits", si(2 * m.state_elements, "B"))] if m.state_elements else []),
            *((b.name or "each block", f"{b.count} x {_block(b)}") for b in (m.encoder.blocks if m.encoder else ())),
            *((b.name or "each block", f"{b.count} x {_block(b)}") for b in m.blocks),
            ("longest context", f"{m.max_context:,} tokens" if m.max_context else "not known"),
        ]
    about = [("source", m.source), ("read on", m.retrieved), *([("note", m.note)] if m.note else [])]
    return Table(f"{m.title or m.name} ({m.name})", ("fact", "value"), [*counts, *about])


def hardware_table(devices: Iterable[HardwareSpec]) -> Table:
    """Return devices by name with their main figures."""
    rows = [
        (
            d.name,
            d.kind,
            si(d.memory.value, "B") if d.memory else "",
            si(d.bandwidth.value, "B/s") if d.bandwidth else "",
            f"{si(d.peak(d.default_precision).value, 'FLOP/s')} {d.default_precision}",
            " ".join(d.precisions),
        )
        for d in devices
    ]
    columns = ("name", "kind", "memory", "bandwidth", "peak, dense", "precisions")
    return Table("Hardware", columns, rows, frozenset(columns[2:5]))


def device_table(d: HardwareSpec) -> Table:
    """Return every figure of a device, what the clock makes of its peaks, what is not known, and the sources."""
    known = {name: (f, unit) for name, (f, unit) in d.figures.items() if f}
    sources = list(dict.fromkeys((f.source, f.retrieved) for f, _ in known.values()))
    rows = [
        (name, _value(f, unit), _by_clock(d, name), f"[{sources.index((f.source, f.retrieved)) + 1}]", f.note)
        for name, (f, unit) in known.items()
    ]
    about = [f"not known: {', '.join(d.unknown)}" if d.unknown else "", d.note]
    cited = [f"[{i}] {source}" + f", read {day}" * bool(day) for i, (source, day) in enumerate(sources, 1)]
    return Table(
        f"{d.title or d.name} ({d.name})",
        ("figure", "value", "by clock", "source", "note"),
        rows,
        frozenset({"value", "by clock", "source"}),
        caption="\n".join([*filter(None, about), "by clock: units x clock x operations of a unit", *cited]),
    )


def _value(figure: Figure, unit: str) -> str:
    if unit in {"count", "FLOP/clock"}:
        return f"{figure.value:,g}{f' {unit}' if unit != 'count' else ''}"
    return si(figure.value, unit, 4)


def _by_clock(d: HardwareSpec, name: str) -> str:
    found = by_clock(d, name.removeprefix("peak, ")) if name.startswith("peak, ") else None
    return si(found, "FLOP/s", 4) if found else ""


def nodes_table(nodes: Iterable[NodeSpec]) -> Table:
    """Return nodes by name with their devices and fabric."""
    rows = [
        (
            n.name,
            n.kind,
            f"{n.devices:,} x {n.device}",
            f"{n.fabric}, {n.topology}" if n.fabric else "",
            _bandwidth(n, "scale_up_bandwidth"),
            _bandwidth(n, "scale_out_bandwidth"),
        )
        for n in nodes
    ]
    columns = ("name", "kind", "devices", "scale-up", "a device", "scale-out, a node")
    caption = "bandwidths are one direction"
    return Table("Nodes", columns, rows, frozenset(columns[4:]), caption=caption)


def node_table(n: NodeSpec) -> Table:
    """Return every figure of a node with its source and date, and what is not known."""
    rows = [
        (name.replace("_", " "), _value(f, DIMENSIONS[name]), f.source, f.retrieved, f.note)
        for name, f in n.figures.items()
    ]
    topology = f"{n.topology} of {n.shape}" if n.shape else n.topology
    joined = f"{n.devices:,} x {n.device}; {n.domain:,} joined by {n.fabric}, {topology}"
    unknown = f"not known: {', '.join(n.unknown).replace('_', ' ')}" if n.unknown else ""
    caption = "\n".join(filter(None, (joined, "bandwidths are one direction", unknown, n.note)))
    columns = ("figure", "value", "source", "read on", "note")
    return Table(f"{n.title} ({n.name})", columns, rows, frozenset({"value"}), caption=caption)


def _bandwidth(n: NodeSpec, name: str) -> str:
    figure = n.figures.get(name)
    return si(figure.value, "B/s") if figure else ""


def unverified_table(devices: Iterable[HardwareSpec]) -> Table:
    """Return the figures that come from memory: no document was found that gives them."""
    rows = [
        (d.name, name, _value(f, unit), f.source, f.note)
        for d in devices
        for name, (f, unit) in d.figures.items()
        if f and f.unverified
    ]
    return Table("Unverified figures", ("device", "figure", "value", "source", "note"), rows, frozenset({"value"}))


def comparison_table(devices: Sequence[HardwareSpec]) -> Table:
    """Return devices side by side, a figure a row; a dash where none is known."""
    names = sorted(dict.fromkeys(name for d in devices for name in d.figures), key=_order)
    rows = [(name, *(_shown(d, name) for d in devices)) for name in names]
    ridges = [(f"ridge point, {p}", *(_ridge(d, p) for d in devices)) for p in ("bf16", "fp16", "fp8", "int8")]
    rows += [row for row in ridges if set(row[1:]) != {"-"}]
    columns = ("figure", *(d.name for d in devices))
    return Table("Hardware", columns, rows, frozenset(columns[1:]))


def _shown(d: HardwareSpec, name: str) -> str:
    figure, unit = d.figures.get(name, (None, ""))
    return _value(figure, unit) if figure else "-"


def _order(name: str) -> tuple[int, int]:
    """Return what sorts figures: dense peaks from wide to narrow, then other peaks, then the rest as it stands."""
    if not name.startswith("peak, "):
        return 2, 0
    precision, structure = name.removeprefix("peak, ").split()[:2]
    return int(structure != "dense" or "accumulate" in name), [*BYTES].index(precision)


def _ridge(d: HardwareSpec, precision: str) -> str:
    if precision not in d.peaks or d.bandwidth is None:
        return "-"
    return f"{ridge_point(d.peaks[precision].value, d.bandwidth.value):.4g} FLOP/B"


def _shape(m: ModelSpec) -> str:
    if isinstance(m, NetworkSpec):
        return f"{m.operators} operators, {si(2 * m.macs, 'FLOP')} per {m.sample}"
    largest = max(m.blocks, key=lambda b: b.count)
    return f"{m.layers} x {m.hidden}: {_block(largest)}"


def _block(b: Block) -> str:
    return ", ".join(map(_part, b.parts))


def _part(p: Part) -> str:
    told: dict[type[Part], Callable[[Any], str]] = {
        Attention: _attention,
        LatentAttention: lambda p: f"{p.heads} latent heads, rank {p.kv_rank} + {p.rope_dim}",
        StateSpace: lambda p: f"Mamba-{p.version} {p.inner} x {p.state}",
        LinearAttention: lambda p: f"{p.heads} linear heads of {p.key_dim} x {p.value_dim}",
        Experts: _experts,
        Convolution: lambda p: f"convolution of {p.kernel}",
        Mlp: lambda p: f"ffn {p.ffn}",
    }
    return str(told[type(p)](p))


def _attention(p: Attention) -> str:
    reach = f" in a window of {p.window:,}" if p.window else f" in chunks of {p.chunk:,}" if p.chunk else ""
    return f"{'cross ' if p.cross else ''}{p.heads}/{p.kv_heads} heads of {p.head_dim}{reach}"


def _experts(p: Experts) -> str:
    shared = f" + {p.shared or 1} shared" if p.shared or p.shared_ffn else ""
    return f"{p.chosen} of {p.experts} experts{shared}, ffn {p.ffn}"
