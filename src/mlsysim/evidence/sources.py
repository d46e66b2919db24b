"""The source of a row: the publication it was read in, the group that shares a measurer and a method."""

from __future__ import annotations

import re
from collections.abc import Mapping


def source_of(row: Mapping[str, str]) -> str:
    """Return the publication of a row, from the prefix of its id; in a benchmark round each submitter is one."""
    prefix = row["id"].split("-")[0]
    submitter = re.search(r"submitter=([^;= ]+)", row.get("notes") or "")
    return f"{prefix}-{submitter[1].strip().lower()}" if submitter else prefix
