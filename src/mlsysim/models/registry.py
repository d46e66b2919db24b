"""The packaged models: ``Models.LLAMA_3_1_70B``, ``Models["llama-3.1-70b"]``."""

from __future__ import annotations

from mlsysim.models.spec import Layer, ModelSpec, NetworkSpec, TransformerSpec
from mlsysim.registry import Registry, Row, read_table

_PACKAGE = "mlsysim.models"
_COUNTS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "positions", "window")


def _rows() -> list[Row]:
    return read_table(_PACKAGE, "transformers.csv") + read_table(_PACKAGE, "networks.csv")


def _build(row: Row) -> ModelSpec:
    about = {key: row[key] for key in ("name", "title", "source", "retrieved", "note")}
    if "table" in row:
        return NetworkSpec(table=read_layers(row["table"]), sample=row["sample"], **about)
    return TransformerSpec(
        **about,
        **{key: int(row[key] or 0) for key in _COUNTS},
        gated=row["gated"] == "1",
        tied=row["tied"] == "1",
        qk_norm=row["qk_norm"] == "1",
        norm=row["norm"],
        bias=row["bias"],
        max_context=int(row["max_context"]) if row["max_context"] else None,
    )


def read_layers(table: str) -> tuple[Layer, ...]:
    """Read a packaged operator table."""
    return tuple(
        Layer(r["name"], r["kind"], int(r["macs"]), int(r["parameters"]), int(r["input_elements"]), int(r["output_elements"]))
        for r in read_table(_PACKAGE, table)
    )


Models: Registry[ModelSpec] = Registry("model", "`mlsysim models` lists all", _rows, _build)
