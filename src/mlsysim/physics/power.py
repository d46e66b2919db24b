"""The power of a device from how busy its arithmetic and its memory are.

A device draws its idle power when nothing runs and never more than it is rated for: it lowers its clock before. Between
the two, power rises with the work done and bends as the rating comes near: work at a lower clock costs less energy. All
arguments are floats or arrays that broadcast; nothing is validated here.
"""

from __future__ import annotations

import math
from typing import Any

from mlsysim.physics.elementwise import Real

REFERENCE_FLOPS_PER_J = 1e12
"""Peak over rating at which the weight of arithmetic is stated [FLOP/J]."""


def compute_weight(weight: Real, flops_per_j: Real) -> Any:
    """Return the weight of arithmetic of a device [1], from that at the reference and its peak over rating [FLOP/J].

    Energy of an operation falls from one generation to the next, but slower than the peak a watt rises: by its square
    root. So full use of the arithmetic costs a larger share of the rating on a newer device.
    """
    return weight * (flops_per_j / REFERENCE_FLOPS_PER_J) ** 0.5


def activity(compute_utilisation: Real, memory_utilisation: Real, compute: Real, memory: Real) -> Any:
    """Return how active a device is [1]: utilisations of peak and bandwidth [1], each times its weight [1]."""
    return compute * compute_utilisation + memory * memory_utilisation


def device_power(rated_w: Real, idle_w: Real, active: Real) -> Any:
    """Return the power of a device [W]: idle + (rated - idle) x (1 - exp(-active)).

    Parameters
    ----------
    rated_w, idle_w
        What the device may draw and what it draws at rest [W], ``rated_w`` >= ``idle_w``.
    active
        :func:`activity` [1], >= 0.

    Idle and dynamic power as in Hong and Kim, An integrated GPU power and performance model, ISCA 2010 (recalled); the
    bend towards the rating is chosen by published measurements (docs/energy.md).
    """
    return rated_w - (rated_w - idle_w) * math.e ** (-active)


def host_power(rated_node_w: Real, rated_device_w: Real, devices: Real, drawn: Real) -> Any:
    """Return what a node draws beside its devices [W]: the share ``drawn`` [1] of what its rating leaves for the rest.

    Processors, memory, network, storage, fans and the loss of the supplies share the rating of the node
    (``rated_node_w``) less those of its ``devices`` (``rated_device_w`` each) [W].
    """
    return drawn * (rated_node_w - devices * rated_device_w)
