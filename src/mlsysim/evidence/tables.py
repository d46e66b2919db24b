"""Tables of measurements, recognised by their header: every row becomes measurements, or is refused with a reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mlsysim.errors import InvalidValue, UsageError
from mlsysim.evidence.edge_rows import edge_measurement, tinyml_measurement
from mlsysim.evidence.fields import Row
from mlsysim.evidence.language_rows import language_measurement
from mlsysim.evidence.measurement import Measurement, Refused
from mlsysim.evidence.network_rows import network_measurement, network_training_measurement
from mlsysim.evidence.possible import refuse_impossible
from mlsysim.evidence.serving_rows import serving_measurements
from mlsysim.evidence.training_rows import training_measurement
from mlsysim.registry import nearest

_TRAINING = """id source_url source_locator published model family params_b active_params_b layers hidden heads kv_heads
ffn vocab seq_len global_batch micro_batch hardware num_devices precision tp pp dp cp ep zero recompute framework metric
value reported_mfu flops_convention notes task reported_tflops provenance"""
_INFERENCE = """id source_url source_locator published model params_b active_params_b quant compute_precision
kv_precision engine engine_version hardware num_devices tp pp ep regime batch input_len output_len metric value
reported_bandwidth_gbs notes provenance"""
_SERVING = """id silicon_data_source backend backend_version model_path system precision mode isl osl gemm_quant_mode
moe_quant_mode batch_size tp_size pp_size attention_dp_size moe_tp_size moe_ep_size silicon_ttft_ms silicon_tpot_ms"""
NEEDED = {
    "training": "id model hardware num_devices precision metric value",
    "inference": "id model hardware regime metric value",
    "serving": "id backend model_path system isl osl silicon_tpot_ms",
}
"""Columns without which a table of each kind says nothing."""
COLUMNS = {"training": _TRAINING.split(), "inference": _INFERENCE.split(), "serving": _SERVING.split()}
"""Columns of each kind of table; any that are missing are taken as empty."""


class Refusal(NamedTuple):
    """A row that is not used: its line in the file, its id, and why."""

    line: int
    id: str
    reason: str
    group: str = ""


class Readings(NamedTuple):
    """What a table of measurements holds."""

    kind: str
    measurements: list[Measurement]
    refused: list[Refusal]

    @property
    def rows(self) -> int:
        """Return the rows of the table; of some, several quantities are measured."""
        return len({m.id.partition("/")[0] for m in self.measurements}) + len(self.refused)


def read_measurements(path: Path) -> Readings:
    """Read a table of measurements.

    Raises
    ------
    InvalidValue
        No such file, not CSV, or a header that is none of the three kinds.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or [])
            return readings(kind_of(header, path), reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InvalidValue("file", "a CSV file of measurements", str(path), str(problem)) from None


def kind_of(header: list[str], path: Path) -> str:
    """Return the kind of table that a header belongs to.

    Raises
    ------
    InvalidValue
        Of no kind, or with columns that no such table has.
    """
    for kind, needed in NEEDED.items():
        if set(needed.split()) <= set(header):
            other = [c for c in header if c not in COLUMNS[kind] and not _allowed(kind, c)]
            if other:
                near = ", ".join(f"{c!r} (nearest: {', '.join(nearest(c, COLUMNS[kind])) or 'none'})" for c in other)
                raise InvalidValue(f"{path.name}: header", f"columns of a {kind} table only", near)
            return kind
    wanted = "; ".join(f"{kind}: {needed}" for kind, needed in NEEDED.items())
    raise InvalidValue(f"{path.name}: header", f"that of a known table ({wanted})", ", ".join(header) or "nothing")


def _allowed(kind: str, column: str) -> bool:
    return kind == "serving" and column.startswith(("prefill_", "decode_"))


def readings(kind: str, rows: Iterable[dict[str, str]]) -> Readings:
    """Return the measurements of rows; a row whose id or whose whole configuration and value came before is refused."""
    found: list[Measurement] = []
    refused: list[Refusal] = []
    ids: set[str] = set()
    values: dict[tuple[object, ...], str] = {}
    for line, given in enumerate(rows, start=2):
        row = {c: (given.get(c) or "") for c in (*COLUMNS[kind], *(k for k in given if k))}
        try:
            if None in given:
                raise Refused("more cells than the header has columns")
            if row["id"] in ids:
                raise Refused("an id that came before")
            ids.add(row["id"])
            new = list(measured(kind, row))
            for m in new:
                refuse_impossible(m)
            if kind == "serving":
                _refuse_repeat(new, values)
            found += new
        except Refused as problem:
            refused.append(Refusal(line, row["id"], str(problem), group_of(kind, row)))
        except UsageError as problem:
            refused.append(Refusal(line, row["id"], str(problem).split("\n", maxsplit=1)[0], group_of(kind, row)))
    return Readings(kind, found, refused)


def group_of(kind: str, row: Row) -> str:
    """Return the group that a refused row is counted under."""
    return row["regime"] if kind == "inference" else kind


def _refuse_repeat(new: list[Measurement], values: dict[tuple[object, ...], str]) -> None:
    key = tuple((m.regime, m.hardware, m.seconds) for m in new)
    if key in values:
        raise Refused("an exact repeat of a row under another name")
    values[key] = new[0].id


def measured(kind: str, row: Row) -> Iterator[Measurement]:
    """Yield the measurements of one row.

    Raises
    ------
    Refused
        The row cannot be used.
    """
    if kind == "serving":
        yield from (m._replace(group=m.regime) for m in serving_measurements(row))
        return
    if kind == "training":
        network = not row["layers"] and not row["params_b"]
        try:
            one = training_measurement(row)
        except Refused as problem:
            if not str(problem).startswith("a network") and not network:
                raise
            one = network_training_measurement(row)
        yield one._replace(group=one.regime)
        return
    yield _inference(row)._replace(group=row["regime"])


def _inference(row: Row) -> Measurement:
    if row["engine"].startswith("ncnn"):
        return edge_measurement(row)
    if row["regime"] == "tinyml":
        return tinyml_measurement(row)
    if row["regime"] in {"vision_infer", "other_infer"}:
        return network_measurement(row)
    if row["regime"] in {"decode_b1", "decode_batched", "prefill", "serving_throughput"}:
        return language_measurement(row)
    raise Refused(f"regime {row['regime']!r} is not known")


def reasons(refused: Iterable[Refusal]) -> dict[str, int]:
    """Return how many rows were refused for each reason, most first."""
    return dict(Counter(r.reason for r in refused).most_common())
