"""What was measured, and what follows elsewhere, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysim.calibration import Calibration, Profile
from mlsysim.calibration.compared import Moved, Verified, named
from mlsysim.calibration.learned import Learned
from mlsysim.calibration.store import Revision
from mlsysim.calibration.suggest import Suggestion
from mlsysim.precision import SPARSE
from mlsysim.report.answers import ends, span
from mlsysim.report.tables import Table
from mlsysim.results import Interval, Result
from mlsysim.units import si
from mlsysim.whatif.changed import WhatIf


def calibration_table(c: Calibration) -> Table:
    """Return a calibration as a list of quantities."""
    eta, reached = c.efficiency, c.attainment
    rows = [
        ("throughput", span(c.throughput, c.unit)),
        ("FLOPs per item", si(c.flops_per_item, "FLOP")),
        ("peak", _peak(c)),
        ("eta", f"{eta.value:.4g}  ({eta.low:.4g} to {eta.high:.4g})"),
        ("eta ceiling", f"{c.ceiling:.4g}"),
        ("attainment", f"{reached.value:.4g}  ({reached.low:.4g} to {reached.high:.4g})"),
        ("FLOPs counted as", c.convention),
        *_origin_rows(c),
    ]
    return Table("Calibration", ("quantity", "value"), rows)


def _peak(c: Calibration) -> str:
    """Return the peak that eta is a share of, in words."""
    number = si(c.peak_flops, "FLOP/s")
    if c.scenario is None:
        return f"{number}, as stated"
    s = c.scenario
    kind = "2:4 sparse" if s.precision.endswith(SPARSE) else "dense"
    return f"{number}: {kind} {s.precision} of {s.devices} x {s.hardware.name}"


def _origin_rows(c: Calibration) -> list[tuple[str, str]]:
    """Return how the number was read from a log."""
    if c.origin is None:
        return []
    count = "1 value" if c.origin.samples == 1 else f"{c.origin.samples:,} values"
    rows = [("read from", f"{c.origin.format}, {count}")]
    steady = c.origin.steady
    if steady:
        text = f"{steady.kept:,} steps in blocks of {steady.block}; warm-up: {steady.dropped:,} by {steady.method}"
        rows.append(("steady part", text))
        rows += [(f"  {p.what}", f"{p.steps} steps, {si(p.seconds, 's')} more, {p.share:.1%}") for p in steady.pauses]
    return rows


def points_table(profile: Profile) -> Table:
    """Return the points of a profile side by side."""
    rows = []
    for c in profile:
        eta, reached = c.efficiency, c.attainment
        label = c.origin.label if c.origin and c.origin.label else ""
        sizes = "" if c.scenario is None else _sizes(c)
        rate = si(c.throughput.value, c.unit)
        numbers = (f"{eta.value:.3g}", _range(eta), f"{c.ceiling:.3g}", f"{reached.value:.3g}")
        rows.append((label or named(c), sizes, rate, *numbers))
    columns = ("point", "sizes", "throughput", "eta", "90 % interval", "ceiling", "attainment")
    return Table("Calibration", columns, rows, frozenset({"throughput", "eta", "ceiling", "attainment"}))


def _sizes(c: Calibration) -> str:
    s = c.scenario
    assert s is not None
    words = (("batch", s.batch_size), ("seq", s.seq_len), ("context", s.context))
    return ", ".join(f"{word} {value:,}" for word, value in words if value)


def _range(interval: Interval) -> str:
    return f"{interval.low:.3g} to {interval.high:.3g}"


def parameters_table(found: Sequence[Learned]) -> Table:
    """Return what several points say of the parameters of the equations."""
    rows = [(p.name, f"{p.factor:.3g}", f"{p.low:.3g} to {p.high:.3g}") for p in found]
    caption = "by what factor your runs move a parameter from what published runs give; one point moves the scale alone"
    return Table("Learned", ("parameter", "factor", "90 % interval"), rows, frozenset({"factor"}), caption=caption)


def suggestions_table(found: Sequence[Suggestion]) -> Table:
    """Return what to measure next, and what it would do to the intervals."""
    rows = [
        (str(i), ", ".join(f"{n} {v:,}" for n, v in s.change.items()), f"± {s.before:.1%}", f"± {s.after:.1%}")
        for i, s in enumerate(found, 1)
    ]
    caption = "root mean square of the half-widths over other batches and lengths, up to 16 times larger and smaller"
    return Table("Measure next", ("", "run", "interval now", "after it"), rows, frozenset(), caption=caption)


def what_if_table(found: WhatIf) -> Table:
    """Return a measured run beside the changed one."""
    home, there = found.home, found.there

    def row(name: str, a: str, b: str) -> tuple[str, str, str]:
        return (name, a, b)

    def both(name: str, value: object) -> tuple[str, str, str]:
        return row(name, *(str(getattr(r, str(value))) for r in (home, there)))

    rows = [
        row("model", home.model, there.model),
        row("hardware", _devices(home), _devices(there)),
        row("run", _run(home), _run(there)),
        both("precision", "precision"),
        row("time of a step", *(si(r.time_s.value, "s") for r in (home, there))),
        row("  90 % interval", *(ends(r.time_s, "s") for r in (home, there))),
        row("throughput", *(si(r.throughput.value, r.throughput_unit) for r in (home, there))),
        row("eta", *(f"{r.efficiency.achieved:.4g}" for r in (home, there))),
        row("  90 % interval", *(f"{r.efficiency.low:.3g} to {r.efficiency.high:.3g}" for r in (home, there))),
        row("eta ceiling", *(f"{r.efficiency.ceiling:.4g}" for r in (home, there))),
        row("attainment", *(f"{r.efficiency.attainment:.3g}" for r in (home, there))),
        both("bound by", "bound"),
        row("fits", *("yes" if r.fits else "NO" for r in (home, there))),
    ]
    caption = f"{found.speedup:.3g} times the throughput"
    return Table("What if", ("quantity", "as measured", "changed"), rows, frozenset(), caption=caption)


def _devices(r: Result) -> str:
    return f"{r.devices} x {r.hardware}"


def _run(r: Result) -> str:
    words = (("batch", r.batch_size), ("seq", r.seq_len), ("context", r.context))
    return f"{r.phase}, " + ", ".join(f"{word} {value:,}" for word, value in words if value)


def saved_table(found: Sequence[Revision]) -> Table:
    """Return the saved calibrations, a line each."""
    rows = []
    for r in found:
        d = r.to_dict()
        etas = sorted(d["eta"])
        eta = "" if not etas else f"{etas[0]:.3g}" if len(etas) == 1 else f"{etas[0]:.3g} to {etas[-1]:.3g}"
        rows.append(
            (r.name, str(r.number), r.recorded, ", ".join(d["of"]), ", ".join(d["on"]), str(len(r.records)), eta)
        )
    columns = ("name", "revision", "recorded", "model", "hardware", "points", "eta")
    return Table("Saved calibrations", columns, rows, frozenset({"revision", "points", "eta"}))


def moved_table(found: Sequence[Moved], title: str) -> Table:
    """Return how far eta went at each point."""
    rows = [
        (m.point, f"{m.earlier.value:.4g}", f"{m.later.value:.4g}", f"{m.ratio.value:.3f}", _range(m.ratio), _word(m))
        for m in found
    ]
    columns = ("point", "eta before", "eta now", "ratio", "90 % interval", "moved")
    return Table(title, columns, rows, frozenset({"eta before", "eta now", "ratio"}))


def _word(m: Moved) -> str:
    return ("rose" if m.ratio.value > 1 else "FELL") if m.moved else "no"


def verified_table(found: Sequence[Verified], name: str) -> Table:
    """Return predictions beside what was measured."""
    rows = [
        (
            v.point,
            si(v.predicted.value, "s"),
            ends(v.predicted, "s"),
            si(v.measured.value, "s"),
            ends(v.measured, "s"),
            f"{v.error:+.1%}",
            "yes" if v.held else "NO",
        )
        for v in found
    ]
    columns = ("point", "predicted", "90 % interval", "measured", "its interval", "error", "holds")
    return Table(f"Predicted from {name}", columns, rows, frozenset({"predicted", "measured", "error"}))
