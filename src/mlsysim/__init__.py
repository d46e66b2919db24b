"""How fast, how big, how costly an ML workload is on given hardware: Time = FLOPs / (Peak x eta).

>>> from mlsysim import Engine, Hardware, Models
>>> Engine.solve(model=Models.LLAMA_3_1_70B, hardware=Hardware.H100, batch_size=32, precision="fp16", efficiency=0.45)
<Result llama-3.1-70b on 1 x h100-sxm: ...>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlsysim.calibration import Calibration, Profile
    from mlsysim.calibration.calibrate import calibrate
    from mlsysim.calibration.from_log import calibrate_log
    from mlsysim.calibration.live.run import measure
    from mlsysim.efficiency.guide import Efficiency
    from mlsysim.engine import Engine
    from mlsysim.hardware import Cluster, Hardware, HardwareSpec, Nodes
    from mlsysim.models import Models, NetworkSpec, TransformerSpec
    from mlsysim.models.importers import load_model
    from mlsysim.models.importers.jax_function import from_jax
    from mlsysim.models.importers.torch_module import from_torch
    from mlsysim.results import Interval, Result
    from mlsysim.whatif.compare import compare
    from mlsysim.workload import Workload

__version__ = "0.1.0"
_HOMES = {
    "Calibration": "calibration",
    "Profile": "calibration",
    "calibrate": "calibration",
    "calibrate_log": "calibration.from_log",
    "Cluster": "hardware",
    "Efficiency": "efficiency.guide",
    "Engine": "engine",
    "Hardware": "hardware",
    "HardwareSpec": "hardware",
    "Models": "models",
    "NetworkSpec": "models",
    "Nodes": "hardware",
    "TransformerSpec": "models",
    "Interval": "results",
    "Result": "results",
    "Workload": "workload",
    "compare": "whatif",
    "from_jax": "models.importers.jax_function",
    "from_torch": "models.importers.torch_module",
    "load_model": "models.importers",
    "measure": "calibration.live.run",
}
__all__ = [
    "Calibration",
    "Cluster",
    "Efficiency",
    "Engine",
    "Hardware",
    "HardwareSpec",
    "Interval",
    "Models",
    "NetworkSpec",
    "Nodes",
    "Profile",
    "Result",
    "TransformerSpec",
    "Workload",
    "calibrate",
    "calibrate_log",
    "compare",
    "from_jax",
    "from_torch",
    "load_model",
    "measure",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlsysim' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"mlsysim.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
