"""A JSON file: the configuration of a published model, or a spec of one's own."""

from __future__ import annotations

from pathlib import Path

from mlsysim.errors import InvalidValue
from mlsysim.files import read_json
from mlsysim.models.importers.config import name_of, spec_of
from mlsysim.models.spec import ModelSpec


def load(path: Path) -> ModelSpec:
    """Read the file as whichever it is; weights beside a configuration must hold as many parameters as it says.

    Raises
    ------
    InvalidValue, UnknownName, Problems
        No JSON object, or one that breaks a rule.
    """
    values = read_json(path)
    if "model_type" not in values and ({"blocks", "table", "layers"} & set(values)):
        from mlsysim.models.importers.spec_file import spec_from

        return spec_from(values, path)
    if "weight_map" in values or "_class_name" in values:
        hint = "give the folder's config.json"
        if "_class_name" in values:
            hint = (
                f"this is one of diffusers ({values['_class_name']}); see `mlsysim models`, or use mlsysim.from_torch"
            )
        raise InvalidValue("model", "a configuration with a model_type", str(path), hint)
    spec = spec_of(values, path.name, name_of(path))
    shards = sorted(path.parent.glob("*.safetensors"))
    if shards:
        from mlsysim.models.importers.safetensors_file import checked_against

        return checked_against(spec, shards)
    return spec
