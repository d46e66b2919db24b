"""The packaged models: ``Models.LLAMA_3_1_70B``, ``Models["llama-3.1-70b"]``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlsysim.models.network import Layer, NetworkSpec
from mlsysim.models.spec import ModelSpec, decoder
from mlsysim.own import specs
from mlsysim.registry import Registry, Row, read_table

_PACKAGE = "mlsysim.models"
_TABLES = ("transformers.tsv", "configs.tsv", "networks.tsv")
"""Plain decoders as columns, all other sequence models as the configuration they are published with, networks."""


def _rows() -> list[Row]:
    return [row for table in _TABLES for row in read_table(_PACKAGE, table)]


def _build(row: Row) -> ModelSpec:
    about: dict[str, Any] = {key: row[key] for key in ("title", "source", "retrieved", "note")}
    if "table" in row:
        published = int(float(row["published_macs"])) if row["published_macs"] else None
        return NetworkSpec(row["name"], read_layers(row["table"]), row["sample"], published_macs=published, **about)
    if "config" in row:
        from mlsysim.models.importers.config import spec_of

        return replace(spec_of(json.loads(row["config"]), row["name"], row["name"]), **about)
    return decoder(
        row["name"],
        layers=int(row["layers"]),
        hidden=int(row["hidden"]),
        heads=int(row["heads"]),
        kv_heads=int(row["kv_heads"]),
        head_dim=int(row["head_dim"]),
        ffn=int(row["ffn"]),
        vocab=int(row["vocab"]),
        gated=row["gated"] == "1",
        tied=row["tied"] == "1",
        norm=row["norm"],
        bias=row["bias"],
        qk_norm=row["qk_norm"] == "1",
        positions=int(row["positions"] or 0),
        window=int(row["window"] or 0),
        windowed_layers=int(row["windowed_layers"]) if row["windowed_layers"] else None,
        max_context=int(row["max_context"]) if row["max_context"] else None,
        **about,
    )


def read_layers(table: str) -> tuple[Layer, ...]:
    """Read a packaged operator table."""
    return tuple(
        Layer(
            r["name"],
            r["kind"],
            int(r["macs"]),
            int(r["parameters"]),
            int(r["input_elements"]),
            int(r["output_elements"]),
            int(r.get("times") or 1),
            int(r["touched"]) if r.get("touched") else None,
        )
        for r in read_table(_PACKAGE, table)
    )


def _own() -> dict[str, Callable[[], ModelSpec]]:
    return specs("models", (".toml", ".yaml", ".yml", ".json", ".gguf", ".safetensors", ".onnx"), _read)


def _read(name: str, path: Path) -> ModelSpec:
    from mlsysim.models.importers import load_model

    return replace(load_model(path), name=name)


Models: Registry[ModelSpec] = Registry(
    "model",
    "`mlsysim models` lists all; or the path of a config.json, *.gguf, *.safetensors, *.onnx",
    _rows,
    _build,
    _own,
)
