"""The equations of the efficiency model, one module each: what a run takes, from physics and a few parameters.

Every module has ``NAMES``, the parameters it takes; ``case``, which turns a run into its numbers; and ``seconds``,
which works on floats and on arrays alike.
"""

from __future__ import annotations

from types import ModuleType

EQUATIONS: dict[str, ModuleType] = {}
