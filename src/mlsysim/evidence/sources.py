"""The source of a row: the publication it was read in, and the place; what all measurements of rows have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlsysim.evidence.measurement import Measurement
from mlsysim.setup import Setup


def source_of(row: Mapping[str, str]) -> str:
    """Return the publication of a row, from the prefix of its id; in a benchmark round each submitter is one."""
    prefix = row["id"].split("-")[0]
    submitter = re.search(r"submitter=([^;= ]+)", row.get("notes") or "")
    return f"{prefix}-{submitter[1].strip().lower()}" if submitter else prefix


def measurement_of(
    row: Mapping[str, str],
    question: Any,
    setup: Setup,
    *,
    regime: str,
    model: str,
    hardware: str,
    seconds: float,
    value: float,
    rate: bool,
    repair: str = "",
) -> Measurement:
    """Return a measurement with the id, source, address, place and date of its row."""
    return Measurement(
        row["id"],
        source_of(row),
        model,
        hardware,
        setup.engine,
        regime,
        question,
        setup,
        seconds,
        value,
        rate,
        row.get("source_url") or "",
        row.get("source_locator") or "",
        row.get("published") or "",
        repair=repair,
    )
