"""The locked tenth: measurements that no choice of the efficiency model may look at.

Whole models, devices and sources are locked, by a hash of their names alone, so that a new measurement of any of them
is locked as well. Rows of a locked one are scored by ``mlsysim validate FILE --split locked`` and by nothing else.
"""

from __future__ import annotations

import hashlib

SHARES = {"source": 0.025, "model": 0.05, "hardware": 0.04}
"""Share of the names of each kind that is locked: about a tenth of all rows together."""
_SALT = "mlsysim locked evidence 12"


def locked_name(kind: str, name: str) -> bool:
    """Return whether a source, model or device is locked."""
    digest = hashlib.sha256(f"{_SALT}/{kind}/{name.lower()}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < SHARES[kind]


def locked(source: str, model: str, hardware: str) -> bool:
    """Return whether a measurement is locked: its source, its model or its device is."""
    names = {"source": source, "model": model, "hardware": hardware}
    return any(locked_name(kind, name) for kind, name in names.items())
