"""A trace of the host alone, where the work was done on a device that was not recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsysim.hardware import HardwareSpec
from mlsysim.results import Note
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.spans import SpanRows
from mlsysim.timeline.trace import Trace

_RECORD = {
    "pytorch-cpu": "; profile with ProfilerActivity.CUDA to see the rest",
    "onnxruntime": "; its profiler times kernels of CUDA where it is built with them, else use Nsight Systems",
}
"""How the device is recorded, by source."""
_STALLS = (Activity.GARBAGE, Activity.LOADING)


def seen(trace: Trace, device: HardwareSpec | None) -> Trace:
    """Return the trace itself, or, where it does not hold the device that the question is of, what it still tells.

    Operators on the host are then the launching of work, beside which the device computes: of such a trace the loader
    and the collector are kept, and the rest is hidden.
    """
    elsewhere = bool(trace.accelerator.name) or (device is not None and device.kind not in {"cpu", "mcu"})
    if trace.on_device or trace.source == "timers" or not elsewhere or not len(trace.host):
        return trace
    host, rows = trace.host, SpanRows()
    for place in np.flatnonzero(np.isin(host.activity, [*map(int, _STALLS)])):
        name, lane = host.names[host.name[place]], host.lanes[host.lane[place]]
        rows.add(int(host.start[place]), int(host.end[place]), int(host.activity[place]), lane, name)
    begin = min([int(host.start.min()), *(mark.start for mark in trace.marks)])
    end = max([int(host.end.max()), *(mark.end for mark in trace.marks)])
    rows.add(begin, end, Activity.HIDDEN, trace.main, "device not recorded")
    message = (
        "the device was not recorded: of the step, what it takes and the stalls of the host that are marked are known"
        f" (at most what the device lost to them){_RECORD.get(trace.source, '')}"
    )
    return replace(trace, host=rows.spans(), notes=(*trace.notes, Note("device-not-recorded", message)))
