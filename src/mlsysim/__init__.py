"""How fast, how big, how costly an ML workload is on given hardware: Time = FLOPs / (Peak x eta).

>>> from mlsysim import Engine, Hardware, Models
>>> Engine.solve(model=Models.LLAMA_3_1_70B, hardware=Hardware.H100, batch_size=32, precision="fp16", efficiency=0.45)
<Result llama-3.1-70b on 1 x h100-sxm: ...>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlsysim.calibration import Calibration, Profile, calibrate
    from mlsysim.calibration.from_log import calibrate_log
    from mlsysim.calibration.live.run import measure
    from mlsysim.costs.ownership import Ownership
    from mlsysim.efficiency.guide import Efficiency
    from mlsysim.engine import Engine
    from mlsysim.hardware import Cluster, Hardware, HardwareSpec, Nodes
    from mlsysim.models import Models, NetworkSpec, TransformerSpec
    from mlsysim.models.importers import load_model
    from mlsysim.models.importers.jax_function import from_jax
    from mlsysim.models.importers.torch_module import from_torch
    from mlsysim.results import Interval, Result
    from mlsysim.sweep.distributions import Between, Normal, Triangular, Uniform
    from mlsysim.sweep.reduce import Pareto, Quantiles, Summary, Top
    from mlsysim.timeline.explain import explain
    from mlsysim.whatif import compare
    from mlsysim.whatif.break_even import break_even
    from mlsysim.whatif.choose import choose
    from mlsysim.whatif.inverse import need
    from mlsysim.whatif.sensitivity import sensitivity
    from mlsysim.whatif.token_prices import token_prices
    from mlsysim.workload import Workload

__version__ = "0.1.0"
_HOMES = {
    "Calibration": "calibration",
    "Profile": "calibration",
    "calibrate": "calibration",
    "calibrate_log": "calibration.from_log",
    "measure": "calibration.live.run",
    "Ownership": "costs.ownership",
    "Efficiency": "efficiency.guide",
    "Engine": "engine",
    "Cluster": "hardware",
    "Hardware": "hardware",
    "HardwareSpec": "hardware",
    "Nodes": "hardware",
    "Models": "models",
    "NetworkSpec": "models",
    "TransformerSpec": "models",
    "load_model": "models.importers",
    "from_jax": "models.importers.jax_function",
    "from_torch": "models.importers.torch_module",
    "Interval": "results",
    "Result": "results",
    "Between": "sweep.distributions",
    "Normal": "sweep.distributions",
    "Triangular": "sweep.distributions",
    "Uniform": "sweep.distributions",
    "Pareto": "sweep.reduce",
    "Quantiles": "sweep.reduce",
    "Summary": "sweep.reduce",
    "Top": "sweep.reduce",
    "explain": "timeline.explain",
    "compare": "whatif",
    "break_even": "whatif.break_even",
    "choose": "whatif.choose",
    "need": "whatif.inverse",
    "sensitivity": "whatif.sensitivity",
    "token_prices": "whatif.token_prices",
    "Workload": "workload",
}
__all__ = [
    "Between",
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
    "Normal",
    "Ownership",
    "Pareto",
    "Profile",
    "Quantiles",
    "Result",
    "Summary",
    "Top",
    "TransformerSpec",
    "Triangular",
    "Uniform",
    "Workload",
    "break_even",
    "calibrate",
    "calibrate_log",
    "choose",
    "compare",
    "explain",
    "from_jax",
    "from_torch",
    "load_model",
    "measure",
    "need",
    "sensitivity",
    "token_prices",
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
