"""What was measured of this machine, as tables."""

from __future__ import annotations

from mlsysim.hardware.check import by_clock
from mlsysim.hardware.probe import Probe
from mlsysim.report.tables import Table
from mlsysim.units import si


def probe_tables(found: Probe) -> list[Table]:
    """Return the attained arithmetic beside the nominal, the memory levels, the dispatch; and the accelerator."""
    here = found.hardware
    threads = max(s.threads for s in found.samples)
    products = []
    for precision, library, used in dict.fromkeys((s.precision, s.library, s.threads) for s in found.samples):
        best = max(
            (s for s in found.samples if (s.precision, s.library, s.threads) == (precision, library, used)),
            key=lambda s: s.flops_per_s,
        )
        nominal = by_clock(here, f"{precision} dense")
        share = nominal and nominal * used / threads
        products.append(
            (
                f"{precision}, {library}",
                str(used),
                f"{best.size} x {best.size}",
                si(best.flops_per_s, "FLOP/s"),
                si(share, "FLOP/s") if share else "",
                f"{best.flops_per_s / share:.0%}" if share else "",
                f"{best.spread:.0%}",
            )
        )
    columns = ("product", "threads", "size", "attained", "nominal", "share", "spread")
    memory = [
        (s.level, s.kernel, str(s.threads), si(s.array_bytes, "B"), si(s.bytes_per_s, "B/s"), f"{s.spread:.0%}")
        for s in found.bandwidth_samples
    ]
    calls = [(s.library, si(s.seconds, "s"), f"{s.spread:.0%}") for s in found.overhead_samples]
    levels = ("level", "kernel", "threads", "array", "bandwidth", "spread")
    tables = [
        Table(f"Arithmetic, {here.title}", columns, products, frozenset(columns[1:])),
        Table("Memory", levels, memory, frozenset(levels[2:])),
        Table("Dispatch of a small call", ("library", "time", "spread"), calls, frozenset({"time", "spread"})),
    ]
    gpu = found.accelerator
    if gpu:
        rows = [(p, si(f.value, "FLOP/s"), f.note) for p, f in gpu.hardware.peaks.items()]
        rows += [(t.kind, si(t.value, t.unit), f"spread {t.spread:.0%}") for t in gpu.transfers]
        tables.append(Table(gpu.hardware.title, ("figure", "attained", "note"), rows, frozenset({"attained"})))
    return tables
