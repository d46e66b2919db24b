import gzip
import sqlite3
from pathlib import Path

import pytest
from nsight_files import MAIN, PID, PROCESS, THREAD, Export

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.timeline import nsight
from mlsysim.timeline.account import Question, account
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.spans import Spans
from mlsysim.timeline.trace import Accelerator, Launch, Mark, Trace

GEMM = "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_bf16_128x256_32x3_nn_align8>(T1::Params)"
H100 = {
    "id": 3,
    "name": "NVIDIA H100 80GB HBM3",
    "smCount": 132,
    "maxWarpsPerSm": 64,
    "threadsPerWarp": 32,
    "maxRegistersPerSm": 65536,
    "maxShmemPerSm": 233472,
    "maxBlocksPerSm": 32,
}


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return Export(tmp_path / "run.sqlite")


def read(export: Export) -> Trace:
    return nsight.read(Source(export.done()))


def told(spans: Spans) -> list[tuple[int, int, str, str]]:
    rows = zip(spans.start, spans.end, spans.activity, spans.name, strict=True)
    return [(int(s), int(e), Activity(a).name.lower(), spans.names[n]) for s, e, a, n in rows]


def codes(trace: Trace) -> set[str]:
    return {note.code for note in trace.notes}


def test_a_kernel_with_its_launch_and_its_call(export: Export):
    grid = {"gridX": 16, "gridY": 4, "gridZ": 2, "blockX": 128, "blockY": 2, "blockZ": 1}
    held = {"registersPerThread": 168, "staticSharedMemory": 1024, "dynamicSharedMemory": 98304}
    export.kernel(5_000, 9_000, GEMM, link=11, **grid, **held)
    export.call(1_000, 1_500, "cudaLaunchKernel_v7000", link=11)
    export.call(9_000, 9_100, "cudaDeviceSynchronize_v3020", link=12)
    export.call(9_200, 9_300, "cudaGetDevice_v3020", link=13)
    trace = read(export)
    assert told(trace.device) == [(5_000, 9_000, "matrix", GEMM)]
    assert trace.device.shapes == [Launch(128, 256, 168, 99_328)]
    assert trace.device.link.tolist() == [11]
    assert told(trace.host) == [
        (1_000, 1_500, "launching", "cudaLaunchKernel"),
        (9_000, 9_100, "waiting", "cudaDeviceSynchronize"),
    ]
    assert trace.main == (PID, THREAD)
    assert trace.source == "nsight"
    assert trace.on_device


@pytest.mark.parametrize(
    ("kind", "found"),
    [(1, "upload"), (2, "download"), (8, "copy"), (10, "transfer"), (9, "copy"), (3, "upload"), (99, "copy")],
)
def test_copies_by_their_direction(export: Export, kind: int, found: str):
    values = {"deviceId": 0, "contextId": 1, "streamId": 7, "globalPid": PROCESS, "copyKind": kind}
    export.add("CUPTI_ACTIVITY_KIND_MEMCPY", start=1, end=3, **values)
    export.add("CUPTI_ACTIVITY_KIND_MEMSET", start=4, end=5, deviceId=0, contextId=1, streamId=7, globalPid=PROCESS)
    assert [row[2] for row in told(read(export).device)] == [found, "copy"]


def test_the_device_is_that_of_the_process(export: Export):
    export.add("TARGET_INFO_GPU", **{**H100, "id": 0, "name": "another"})
    export.add("TARGET_INFO_GPU", **H100)
    export.add("TARGET_INFO_CUDA_DEVICE", gpuId=3, cudaId=0, pid=PID)
    export.add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=1_700_000_000_000_000_000)
    export.kernel(5, 9, GEMM)
    trace = read(export)
    assert trace.accelerator == Accelerator("NVIDIA H100 80GB HBM3", 132, 2048, 65536, 233472, 32, 32)
    assert trace.base_ns == 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    "text", ["step {}", "iteration {}", "ProfilerStep#{}", "Iteration: {}", "train_step/{}", "[step={}]", "iter_{:06}"]
)
def test_ranges_that_count_up_are_steps(export: Export, text: str):
    export.kernel(5, 9, GEMM, link=1)
    export.call(1, 2, "cudaLaunchKernel_v7000", link=1)
    for number in (12, 13, 15):
        export.range(number * 100, number * 100 + 90, text.format(number))
    trace = read(export)
    assert trace.marks == (Mark(12, 1200, 1290), Mark(13, 1300, 1390), Mark(15, 1500, 1590))
    assert "steps-by-name" in codes(trace)
    assert "no-nvtx" not in codes(trace)


def test_of_several_sets_the_one_that_covers_most_is_the_steps(export: Export):
    export.kernel(5, 9, GEMM)
    for step in range(4):
        export.range(step * 1000, step * 1000 + 900, f"step {step}")
        export.range(step * 1000, step * 1000 + 400, f"forward {step}")
        for layer in range(3):  # counts up, and again in the next step
            export.range(step * 1000 + layer * 300, step * 1000 + layer * 300 + 300, f"layer {layer}")
    trace = read(export)
    assert [mark.end - mark.start for mark in trace.marks] == [900] * 4


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 10, "step 0"), (20, 30, "step 1")],  # two
        [(0, 10, "step 2"), (20, 30, "step 1"), (40, 50, "step 0")],  # down
        [(0, 50, "step 0"), (20, 60, "step 1"), (40, 90, "step 2")],  # beside each other
        [(0, 10, "forward"), (20, 30, "forward"), (40, 50, "forward")],  # no number
    ],
)
def test_ranges_that_are_no_steps(export: Export, ranges: list[tuple[int, int, str]]):
    export.kernel(5, 9, GEMM)
    for start, end, text in ranges:
        export.range(start, end, text)
    assert read(export).marks == ()


def test_steps_of_the_thread_that_launches_come_first(export: Export):
    other = PROCESS | 999
    export.kernel(5, 9, GEMM, link=1)
    export.call(1, 2, "cudaLaunchKernel_v7000", link=1)
    for step in range(3):
        export.range(step * 1000, step * 1000 + 900, f"watch {step}", thread=other)
        export.range(step * 100, step * 100 + 50, f"step {step}")
    assert [mark.end for mark in read(export).marks] == [50, 150, 250]


def test_texts_that_are_registered_and_events_that_are_no_ranges(export: Export):
    export.kernel(5, 9, GEMM)
    export.add("NVTX_EVENTS", start=1, end=4, eventType=59, globalTid=MAIN, textId=export.text("data_load 17"))
    export.range(1, 4, "data_load", kind=34)  # a mark, which has no length
    export.add("NVTX_EVENTS", start=1, end=4, eventType=60, globalTid=MAIN, endGlobalTid=MAIN + 1, text="data_load")
    assert told(read(export).host) == [(1, 4, "loading", "data_load #")]


def test_operators_that_pytorch_marks_are_told_of_their_kernels(export: Export):
    text = "aten::mm, seq = 3, op_id = 7, sizes = [[64, 32], [32, 16]], input_op_ids = [[1,0], [2,0]]"
    export.range(100, 200, text)
    export.range(300, 400, "aten::relu, op_id = 8")
    export.call(150, 160, "cudaLaunchKernel_v7000", link=1)
    export.call(350, 360, "cudaLaunchKernel_v7000", link=2)
    export.call(450, 460, "cudaLaunchKernel_v7000", link=3)
    export.kernel(1000, 1100, GEMM, link=1)
    export.kernel(1200, 1300, GEMM, link=2)
    export.kernel(1400, 1500, GEMM, link=3)
    trace = read(export)
    works = [trace.device.works[number] for number in trace.device.work]
    assert works[0].name == "aten::mm"
    assert works[0].dims == b"[[64, 32], [32, 16]]"
    assert works[1:] == [None, None]
    assert [row[2] for row in told(trace.host) if row[3].startswith("aten")] == ["matrix", "elementwise"]


def test_what_a_thread_asks_the_operating_system(export: Export):
    export.kernel(5, 9, GEMM, link=1)
    export.call(1, 2, "cudaLaunchKernel_v7000", link=1)
    for at, name in enumerate(["pthread_cond_wait", "sem_timedwait", "poll", "epoll_wait", "read", "ioctl", "mmap"]):
        export.system(100 + 10 * at, 105 + 10 * at, name)
    export.system(100, 900, "poll", thread=PROCESS | 999)  # a thread that launches nothing
    found = [(row[3], row[2]) for row in told(read(export).host) if row[3] != "cudaLaunchKernel"]
    assert found == [
        ("pthread_cond_wait", "waiting"),
        ("sem_timedwait", "waiting"),
        ("poll", "waiting"),
        ("epoll_wait", "waiting"),
        ("read", "python"),
        ("ioctl", "driver"),
        ("mmap", "allocating"),
    ]


def states(export: Export) -> None:
    for number, name in enumerate(["Unknown", "Running", "Interruptible", "Uninterruptible"]):
        export.add("ENUM_SAMPLING_THREAD_STATE", id=number, name=name, label=name)


def test_a_thread_that_lost_its_core(export: Export):
    export.kernel(5, 9, GEMM, link=1)
    export.call(1, 2, "cudaLaunchKernel_v7000", link=1)
    states(export)
    export.switches([(300, 1, 1), (100, 0, 1), (400, 0, 2), (500, 1, 1), (600, 0, 1)])  # 400: asleep; 600: no end
    trace = read(export)
    assert [row for row in told(trace.host) if row[2] == "preempted"] == [(100, 300, "preempted", "thread not running")]
    assert "no-scheduling" not in codes(trace)


def test_without_states_a_thread_that_leaves_its_core_in_a_call_sleeps(export: Export):
    export.kernel(5, 9, GEMM, link=1)
    export.call(1, 2, "cudaLaunchKernel_v7000", link=1)
    export.system(90, 210, "poll")
    export.switches([(100, 0, None), (200, 1, None), (300, 0, None), (350, 1, None)])
    assert [row[:2] for row in told(read(export).host) if row[2] == "preempted"] == [(300, 350)]


def test_without_states_and_calls_nothing_is_said_of_threads(export: Export):
    columns = "start INTEGER NOT NULL, cpu INTEGER NOT NULL, isSchedIn INTEGER NOT NULL, globalTid INTEGER"
    export.table("SCHED_EVENTS", columns)
    for start, runs in ((100, 0), (200, 1)):
        export.add("SCHED_EVENTS", start=start, cpu=0, isSchedIn=runs, globalTid=MAIN)
    export.kernel(5, 9, GEMM, link=1)
    export.call(1, 2, "cudaLaunchKernel_v7000", link=1)
    trace = read(export)
    assert not [row for row in told(trace.host) if row[2] == "preempted"]
    assert "no-thread-state" in codes(trace)


def test_each_device_of_each_process_is_a_trace(export: Export):
    second = 800 << 24
    for device, thread, link in ((0, MAIN, 1), (1, MAIN + 1, 2)):
        export.kernel(10 * link, 10 * link + 5, GEMM, link=link, deviceId=device)
        export.call(link, link + 1, "cudaLaunchKernel_v7000", link=link, thread=thread)
    export.kernel(50, 55, GEMM, link=1, globalPid=second)
    export.call(40, 41, "cudaLaunchKernel_v7000", link=1, thread=second | 5)
    export.add("MPI_RANKS", globalTid=second | 5, rank=7)
    traces = nsight.read_all(Source(export.done()))
    assert [told(trace.device)[0][0] for trace in traces] == [10, 20, 50]
    assert [told(trace.host)[0][0] for trace in traces] == [1, 2, 40]
    assert [len(trace.host) for trace in traces] == [1, 1, 1]
    assert [trace.rank for trace in traces] == [None, None, 7]
    assert [trace.world for trace in traces] == [3, 3, 3]
    assert traces[1].path.endswith("run.sqlite, device 1 of process 700")


def test_graphs_recorded_whole_are_said_to_be(export: Export):
    values = {"deviceId": 0, "contextId": 1, "streamId": 7, "globalPid": PROCESS, "graphId": 4, "correlationId": 1}
    export.add("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", start=10, end=90, **values)
    trace = read(export)
    assert told(trace.device) == [(10, 90, "other", "CUDA graph 4")]
    assert "graphs-whole" in codes(trace)


def test_tables_that_are_missing_are_said_to_be(export: Export):
    export.kernel(5, 9, GEMM)
    assert codes(read(export)) == {"no-calls", "no-nvtx", "no-scheduling"}


def test_an_export_with_all_tables_empty_but_one(export: Export):
    for name in ("NVTX_EVENTS", "SCHED_EVENTS", "OSRT_API", "CUPTI_ACTIVITY_KIND_RUNTIME", "PROFILER_OVERHEAD"):
        export.table(name)
    export.kernel(5, 9, GEMM)
    assert codes(read(export)) == {"no-calls", "no-nvtx", "no-scheduling"}


def test_without_a_device_the_host_remains(export: Export):
    for step in range(3):
        export.range(step * 100, step * 100 + 90, f"step {step}")
        export.range(step * 100, step * 100 + 30, "data_load")
    export.system(500, 600, "poll")
    trace = read(export)
    assert not trace.on_device
    assert len(trace.marks) == 3
    assert [row[2] for row in told(trace.host)] == ["loading"] * 3 + ["waiting"]
    assert "no-device" in codes(trace)


def test_an_export_of_nothing(export: Export):
    trace = read(export)
    assert len(trace.device) == len(trace.host) == 0
    assert "no-device" in codes(trace)


def test_events_that_cannot_be_used_are_counted(export: Export):
    export.kernel(5, 9, GEMM)
    export.kernel(9, 5, GEMM)
    export.kernel(-5, 9, GEMM)
    export.range(4, None, "never ended")
    trace = read(export)
    assert len(trace.device) == 1
    assert trace.left_out == {"with a negative duration": 1, "with a negative time stamp": 1, "without a duration": 1}


def test_columns_that_older_releases_lack(export: Export):
    export.table("CUPTI_ACTIVITY_KIND_KERNEL", "start INT, end INT, deviceId INT, streamId INT, shortName INT")
    values = {"start": 5, "end": 9, "deviceId": 0, "streamId": 7, "shortName": export.text("gemm")}
    export.add("CUPTI_ACTIVITY_KIND_KERNEL", **values)
    assert told(read(export).device) == [(5, 9, "matrix", "gemm")]


def test_an_export_that_is_packed(export: Export, tmp_path: Path):
    export.kernel(5, 9, GEMM)
    packed = tmp_path / "run.sqlite.gz"
    packed.write_bytes(gzip.compress(export.done().read_bytes()))
    assert nsight.recognises(Source(packed))
    assert len(nsight.read(Source(packed)).device) == 1


def test_an_export_that_is_cut_off_is_refused_in_words(export: Export, tmp_path: Path):
    for at in range(2000):
        export.kernel(at * 10, at * 10 + 5, GEMM)
    whole = export.done().read_bytes()
    cut = tmp_path / "cut.sqlite"
    cut.write_bytes(whole[: len(whole) // 2])
    assert nsight.recognises(Source(cut))
    with pytest.raises(InvalidValue, match="trace must be a whole SQLite file") as caught:
        nsight.read(Source(cut))
    assert "nsys export --type sqlite" in str(caught.value)


def test_a_page_that_is_damaged_is_said_of_its_table(export: Export, tmp_path: Path):
    for at in range(2000):
        export.kernel(at * 10, at * 10 + 5, GEMM)
    whole = bytearray(export.done().read_bytes())
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 4096] = b"\xff" * 4096
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(whole)
    trace = nsight.read(Source(damaged))
    assert 0 < len(trace.device) < 2000
    assert trace.left_out == {"of CUPTI_ACTIVITY_KIND_KERNEL, which breaks off": 1}


def test_another_database_is_none_of_ours(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE runs (id INTEGER)")
    database.close()
    assert not nsight.recognises(Source(path))


def test_progress_ends_with_the_size_of_the_file(export: Export):
    export.kernel(5, 9, GEMM)
    path = export.done()
    told_of: list[int] = []
    nsight.read_all(Source(path), told_of.append)
    assert told_of[-1] == path.stat().st_size


def test_what_is_planted_in_a_step_is_found(export: Export):
    states(export)
    ms = 1_000_000
    for step in range(3):
        at = step * 20 * ms
        export.range(at, at + 20 * ms, f"step {step}")
        export.range(at, at + 4 * ms, "data_load")
        export.call(at + 5 * ms, at + 5 * ms + 5_000, "cudaLaunchKernel_v7000", link=2 * step + 1)
        export.kernel(at + 5 * ms + 10_000, at + 10 * ms, GEMM, link=2 * step + 1)
        export.switches([(at + 11 * ms, 0, 1), (at + 13 * ms, 1, 1)])
        export.system(at + 13 * ms, at + 15 * ms, "pthread_cond_wait")
        export.call(at + 16 * ms, at + 16 * ms + 5_000, "cudaLaunchKernel_v7000", link=2 * step + 2)
        export.kernel(at + 16 * ms + 10_000, at + 20 * ms, "vectorized_elementwise_kernel", link=2 * step + 2)
        export.call(at + 17 * ms, at + 20 * ms, "cudaDeviceSynchronize_v3020", link=100 + step)
    for step in account(read(export), Question()).steps:
        causes: dict[str, int] = {}
        for booking, taken in step.times.items():
            causes[booking.cause] = causes.get(booking.cause, 0) + taken
        assert causes["data_loader"] == 4 * ms
        assert causes["os_driver"] == 2 * ms
        assert causes["synchronisation"] == 2 * ms  # the wait beside a kernel costs nothing
        assert causes["memory_bound"] == 4 * ms - 10_000
        assert causes["kernel_launch"] == 20_000
        assert sum(causes.values()) == step.length == 20 * ms
