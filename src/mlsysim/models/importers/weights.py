"""What files of weights share: that their tensors are those of the model they say, and in which format they are stored.

What a header leaves open is not guessed. The parameters of the spec must be those of the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mlsysim.errors import InvalidValue
from mlsysim.models.importers.config import LANGUAGE_ALONE
from mlsysim.models.spec import TransformerSpec

TOLERANCE = 0.005
"""Share by which parameters may differ from those of the tensors: small tables that are stored and not trained."""


def agrees(total: int, spec: TransformerSpec) -> bool:
    """Return whether tensors of so many parameters are those of a model; prediction modules may be among them.

    Beside a language model that is part of a larger one there may be others.
    """
    if spec.note.startswith(LANGUAGE_ALONE):
        return total >= (1 - TOLERANCE) * spec.parameters
    modules = spec.mtp * spec.mtp_stack.stack_parameters if spec.mtp_stack else 0
    return any(abs(total - expected) <= TOLERANCE * total for expected in (spec.parameters, spec.parameters + modules))


def refuse_others(path: Path, total: int, spec: TransformerSpec, names: Sequence[str]) -> None:
    """Refuse a file whose tensors hold another number of parameters than the model that its header describes."""
    if agrees(total, spec):
        return
    shown = ", ".join(sorted(names)[:12])
    hint = f"by the sizes in its header it would have {spec.parameters:,}; its tensors are {shown}"
    raise InvalidValue("model", "a file that is built as it says", str(path), f"it holds {total:,} parameters; {hint}")


def plain_format(bits: float) -> str:
    """Return the ordinary format that weights of so many bits are in; a file of 16 bits says not which of the two."""
    return "w16a16" if 15.5 < bits < 17 else "fp32" if 31 < bits < 33 else ""


def shards(path: Path, ending: str) -> list[Path]:
    """Return all files of a model of which this is one, by the numbers in its name; the file itself comes first.

    Raises
    ------
    InvalidValue
        Others of them are missing.
    """
    match = re.fullmatch(rf"(.*)-\d{{5}}-of-(\d{{5}})\.{ending}", path.name)
    if match is None:
        return [path]
    start = re.sub(r"([*?[])", r"[\1]", match[1])
    found = {path, *path.parent.glob(f"{start}-*-of-{match[2]}.{ending}")}
    wanted = [path.with_name(f"{match[1]}-{i:05}-of-{match[2]}.{ending}") for i in range(1, int(match[2]) + 1)]
    missing = [w.name for w in wanted if w not in found]
    if missing:
        told = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise InvalidValue("model", "a file with the others of its model beside it", str(path), f"missing: {told}")
    return [path, *sorted(found - {path})]
