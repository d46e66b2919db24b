"""Names in tables of measurements, as the registries spell them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlsysim.errors import UsageError
from mlsysim.evidence.measurement import Refused
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.models import Models, TransformerSpec
from mlsysim.precision import parse_precision

_MARKED = r"SUSPECT|UNIT_AMBIGUOUS|anomalous|out of family|typo"
_SPELLED = {
    "nvidia/deepseek-v3.1-nvfp4": "deepseek-v3",
    "rtx-pro-6000-bse": "rtx-pro-6000-blackwell-server",
    "qualcomm-cloud-ai-100": "qualcomm-ai100-pro",
}
_CUT = r"-(330w|\d+c|cts|96gb|8gb)$"
"""What a name of a device may end with: a power limit, the count of cores, an edition."""
_CUT_MODEL = (
    r"^.*/",
    r"(?i)-(fp8|nvfp4|mxfp4|fp4|int4|int8|awq|gptq|bf16)(-[a-z0-9]+)?$",
    r"-\d{4}$",
    r"(?i)-(instruct|it|chat|base|hf)$",
    r"(?i)^meta-",
    r"(?i)-v\d+(\.\d+)?$",
)
"""What a name of a model may begin or end with, in the order in which it is taken away: owner, format, date, kind."""


def device_named(text: str) -> str:
    """Return the name of a device without power limits, core counts and editions, in lower case."""
    name = text.strip().replace("_", "-").lower()
    if name in Hardware:
        return name
    name = _SPELLED.get(name, name)
    for cut in (_CUT, r"-\d+gb$", r"-sxm\d?$"):
        if name not in Hardware:
            name = re.sub(cut, "", name).replace("v100-sxm2", "v100-sxm")
    return name


def device_of(text: str) -> HardwareSpec:
    """Return the device of a row.

    Raises
    ------
    Refused
        No such device.
    """
    name = device_named(text)
    if name not in Hardware:
        raise Refused(f"hardware not in the registry: {name}")
    return Hardware[name]


def language_model_of(text: str) -> TransformerSpec:
    """Return the language model of a row.

    Raises
    ------
    Refused
        No such model, or no language model.
    """
    name = _SPELLED.get(text.strip().lower(), text.strip())
    for cut in _CUT_MODEL:
        if name not in Models:
            name = re.sub(cut, "", name)
    if name not in Models or not isinstance(found := Models[name], TransformerSpec):
        raise Refused(f"model not in the registry: {text}")
    return found


def precision_of(weights: str, compute: str = "", cache: str = "") -> str:
    """Return the precision of a row by the roles it states.

    Raises
    ------
    Refused
        A precision that is mixed, not stated or not known.
    """
    name = {
        "fp16-amp": "fp16",
        "mixed": "bf16",
        "fp4": "nvfp4",
        "awq-int4": "int4",
        "int8,fp16": "int8",
        "float8": "fp8",
    }.get(weights, weights)
    if compute in {"fp16", "bf16"} and name in {"int4", "int8"}:
        name = f"w{name[3:]}a16"  # weights alone are narrow
    if cache == "fp8" and name in {"nvfp4", "fp16", "bf16"}:
        name += "kv8"
    if cache in {"fp16", "bf16"} and name == "fp8":
        name += "kv16"
    try:
        return parse_precision(name)
    except UsageError:
        raise Refused("a precision that is mixed or not stated") from None


def refuse_marked(row: Mapping[str, str]) -> None:
    """Refuse a row that its own notes call doubtful."""
    if re.search(_MARKED, row.get("notes") or ""):
        raise Refused("marked as suspect at the source")
