"""One question on hardware, checked: a workload, the devices it runs on, and the roofline it runs under."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.errors import Checks, InvalidValue
from mlsysim.hardware import Hardware, HardwareSpec
from mlsysim.models import Work
from mlsysim.physics import performance
from mlsysim.physics.elementwise import Real, minimum
from mlsysim.precision import SPARSE
from mlsysim.results import Memory, Note
from mlsysim.units import whole
from mlsysim.workload import Workload
from mlsysim.workload.asked import checked_fields

if TYPE_CHECKING:
    from mlsysim.hardware import Cluster

_FILES = (".toml", ".yaml", ".yml", ".json")
MANY_DEVICES = 8
"""Devices that one scale-up domain commonly joins (an HGX board), within which one item may be split."""


class Roofline(NamedTuple):
    """What the hardware allows for one step: work, the two least times [s], their larger one, and the eta ceiling."""

    flops: float
    traffic_bytes: float
    peak_flops: float
    bandwidth: float
    compute_s: float
    memory_s: float
    floor_s: float
    ceiling: float

    def time_s(self, attainment: Real, overhead_s: Real = 0.0) -> Any:
        """Return the time of the step [s]: FLOPs / (peak x eta), which is floor / attainment, and a fixed part."""
        return self.floor_s / attainment + overhead_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario(Workload):
    """A checked workload on ``devices`` of one kind of hardware. Make one with :meth:`of`."""

    hardware: HardwareSpec
    devices: int

    @classmethod
    def of(  # type: ignore[override]
        cls,
        model: object,
        hardware: object,
        *,
        phase: object = None,
        batch_size: object = None,
        seq_len: object = None,
        context: object = None,
        precision: object = None,
        devices: object = None,
        checks: Checks | None = None,
        **modified: Any,
    ) -> Scenario:
        """Check every field and fill in what was not given.

        ``checks`` may hold problems of the caller's own fields: all are told at once.

        Raises
        ------
        UsageError
            One or more fields break a rule.
        """
        check = checks or Checks()
        cluster = cluster_of(hardware)
        if cluster is not None and devices is not None:
            hint = f"{cluster!r} says how many"
            check.add(InvalidValue("devices", "left out where hardware is a node or cluster", devices, hint))
        device = cluster.device if cluster else check(hardware_of, hardware)
        wanted = device.default_precision if device else None
        fields = checked_fields(check, model, wanted, phase, batch_size, seq_len, context, precision, modified)
        if devices is None and cluster is None:
            fields["defaults"]["devices"] = 1
        one = cluster.devices if cluster else 1
        count = one if devices is None or cluster else check(whole, devices, "devices")
        if device is not None and fields["precision"] is not None:
            check(device.peak, fields["precision"])
        check.done()
        assert device is not None
        assert count is not None
        return cls(hardware=device, devices=count, **fields)

    def notes(self) -> tuple[Note, ...]:
        """Return what must be said about the question itself: values not given, limits passed, figures missing."""
        found = self.question_notes()
        if self.phase != "training" and self.devices > max(MANY_DEVICES, self.batch_size):
            message = (
                f"{self.devices:,} devices share a batch of {self.batch_size:,}: each must work on a part of one item,"
                " and the time to exchange those parts is not in the ceiling"
            )
            found.append(Note("more-devices-than-batch", message))
        if self.hardware.bandwidth is None:
            message = f"no memory bandwidth is known for {self.hardware.name}: the ceiling counts arithmetic alone"
            found.append(Note("bandwidth-unknown", message))
        if self.precision.endswith(SPARSE):
            message = (
                "model FLOPs over a peak that skips half of them: compare this eta with those of sparse runs alone"
            )
            found.append(Note("sparse-peak", message))
        return tuple(found)

    def roofline(self, work: Work) -> Roofline:
        """Return what the hardware allows for ``work``; the devices' peaks and bandwidths are summed.

        That is a bound for any plan: weights are taken as split over the devices, messages as free. The last-level
        cache is that of one device: weights do not stay on the chips of many. A device without a known bandwidth
        sets no memory floor.
        """
        device, n = self.hardware, self.devices
        peak = n * device.peak(self.precision).value
        flops = work.flops
        traffic = work.traffic(device.cache.value if device.cache else 0.0)
        bandwidth = n * device.bandwidth.value if device.bandwidth else float("inf")
        compute = performance.compute_time(flops, peak)
        moving = performance.memory_time(traffic, bandwidth)
        floor, _ = performance.time_bounds(compute, moving)
        return Roofline(
            flops, traffic, peak, bandwidth, compute, moving, floor, performance.efficiency_ceiling(compute, moving)
        )

    def at_once(self) -> Scenario:
        """Return the scenario with the part of a training batch that devices must work on at once."""
        if self.phase != "training":
            return self
        return self.replace(batch_size=minimum(self.batch_size, self.devices))

    def memory(self) -> Memory:
        """Return the bytes held by purpose against the memory of all devices.

        Split perfectly over the devices (tensor parallel or fully sharded), and in training one sequence a device at a
        time, gradients accumulated over the rest of the batch: what does not fit so fits in no plan.
        """
        capacity = self.devices * self.hardware.memory.value if self.hardware.memory else float("inf")
        flash = self.devices * self.hardware.flash.value if self.hardware.flash else 0.0
        return Memory(self.at_once().memory_bytes(), capacity, flash)


def cluster_of(hardware: object) -> Cluster | None:
    """Return a cluster that is given, or one node of a name that is no device; None where hardware is a device."""
    if isinstance(hardware, str) and hardware not in Hardware:
        from mlsysim.hardware.nodes import Cluster, Nodes

        return Cluster(hardware) if hardware in Nodes else None
    return hardware if hasattr(hardware, "nodes") else None  # type: ignore[return-value]  # a cluster alone has nodes


def hardware_of(hardware: object) -> HardwareSpec:
    """Return the spec itself or the registered device of that name.

    Raises
    ------
    UnknownName, InvalidValue
        No such device; or neither a name nor a spec.
    """
    if isinstance(hardware, HardwareSpec):
        return hardware
    if isinstance(hardware, os.PathLike) or (isinstance(hardware, str) and hardware.lower().endswith(_FILES)):
        from mlsysim.hardware.device_file import read_device

        return read_device(Path(hardware).expanduser()).spec
    several = re.match(r"(\d+)\s*[x*×]\s*(.+)", hardware) if isinstance(hardware, str) else None
    if several and several[2] in Hardware:
        raise InvalidValue("hardware", "the name of one device", hardware, f"{several[2]} with devices = {several[1]}")
    return Hardware[hardware]  # type: ignore[index]
