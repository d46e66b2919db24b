"""Each instant of a timeline belongs to one cause: known answers, and laws that hold for any timeline."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from timelines import ADD, ALL_REDUCE, AUTOGRAD, FLASH, GEMM, SEND_RECV, US, Timeline

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.hardware import Hardware
from mlsysim.timeline.account import Account, Question, account
from mlsysim.timeline.explain import explain
from mlsysim.timeline.kineto import read

PLAIN = Question()


def accounted(line: Timeline, folder: Path, question: Question = PLAIN, events: Any = None) -> Account:
    return account(read(Source(line.write(folder / "trace.json", events))), question)


def told(found: Account, step: int = 0) -> dict[str, int]:
    return {f"{b.cause}/{b.part}": ns for b, ns in found.steps[step].times.items() if ns}


@pytest.fixture
def line() -> Timeline:
    return Timeline()


def test_a_step_with_one_cause_after_another(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 600 * US)
    line.event("user_annotation", "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__", 0, 200 * US)
    line.event("cpu_op", "aten::mm", 210 * US, 228 * US)
    line.kernel(GEMM, 230 * US, 330 * US, called=220 * US)
    line.kernel(ADD, 331 * US, 351 * US, called=240 * US)
    line.event("cuda_runtime", "cudaDeviceSynchronize", 300 * US, 400 * US)
    line.kernel(ADD, 430 * US, 480 * US, called=420 * US)
    line.kernel(ALL_REDUCE, 430 * US, 530 * US, called=421 * US, stream=20)
    line.kernel("Memcpy HtoD (Pinned -> Device)", 530 * US, 540 * US, called=422 * US, cat="gpu_memcpy")
    found = accounted(line, tmp_path)
    assert told(found) == {
        "data_loader/loading": 200 * US,
        "framework/python": (10 + 20 + 60) * US,  # before the operator, after the wait, after the copy
        "framework/dispatch": 10 * US,
        "kernel_launch/calls": (10 + 10) * US,  # from the call to the start of the first and the third kernel
        "kernel_launch/gaps": 1 * US,  # the second was queued before the first ended
        "compute/matrix products, ceiling not known": 100 * US,
        "memory_bound/elementwise": (20 + 50) * US,
        "synchronisation/waiting": 49 * US,  # from the end of the second kernel to the end of the wait
        "communication/transfer": 50 * US,  # what no kernel hides
        "data_loader/copies": 10 * US,
    }


def test_the_ceiling_of_a_product_is_its_flops_over_the_peak(line: Timeline, tmp_path: Path) -> None:
    """2 x 4096^3 FLOPs at 989.4 TFLOP/s take 138.9 us: the rest of 200 us is not told by a trace."""
    line.step(0, 0, 200 * US)
    sizes = {"Input Dims": [[4096, 4096], [4096, 4096]], "Input type": ["c10::BFloat16", "c10::BFloat16"]}
    line.event("cpu_op", "aten::mm", -1 * US + 1 * US, 2 * US, **{"External id": 5, **sizes})
    line.kernel(GEMM, 0, 200 * US, **{"External id": 5, "grid": [132, 1, 1], "block": [384, 1, 1]})
    h100 = Hardware["h100-sxm"]
    found = accounted(line, tmp_path, Question(h100))
    ideal = int(2 * 4096**3 / h100.peak("bf16").value * 1e9)
    assert told(found)["compute/at the ceiling"] == ideal
    assert told(found)["unattributed/matrix products below the ceiling"] == 200 * US - ideal
    assert found.steps[0].flops == 2 * 4096**3
    assert found.told == 1.0


def test_the_flops_of_a_model_are_shared_by_the_products(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 300 * US)
    line.kernel(GEMM, 0, 100 * US)
    line.kernel(FLASH, 100 * US, 200 * US)
    line.kernel(ADD, 200 * US, 300 * US)
    h100 = Hardware["h100-sxm"]
    flops = 60e-6 * h100.peak("bf16").value
    found = accounted(line, tmp_path, Question(h100, flops, "bf16"))
    assert told(found) == {
        "compute/at the ceiling": 60 * US,
        "unattributed/matrix products below the ceiling": 70 * US,
        "attention/fused kernels": 70 * US,
        "memory_bound/elementwise": 100 * US,
    }


def test_a_grid_of_half_the_multiprocessors_loses_half(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 100 * US)
    line.kernel(FLASH, 0, 100 * US, grid=[66, 1, 1], block=[128, 1, 1])
    assert told(accounted(line, tmp_path)) == {"occupancy/waves": 50 * US, "attention/fused kernels": 50 * US}


def test_exchanges_of_a_pipeline_are_told_one_by_one(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 400 * US)
    for number in range(3):
        line.kernel(SEND_RECV, number * 100 * US, (number * 100 + 30) * US, stream=20)
        line.kernel(GEMM, (number * 100 + 20) * US, (number * 100 + 100) * US)
    line.kernel(GEMM, 300 * US, 400 * US)
    found = told(accounted(line, tmp_path))
    assert {k: v for k, v in found.items() if k.startswith("pipeline")} == {
        f"pipeline_bubble/exchange {n}": 20 * US for n in (1, 2, 3)
    }


def test_a_step_begins_on_the_device_when_what_was_launched_before_is_done(line: Timeline, tmp_path: Path) -> None:
    """The host is ahead by half a step: kernels of a step are those that it launched."""
    line.step(0, 0, 50 * US)
    line.step(1, 50 * US, 100 * US)
    line.kernel(GEMM, 10 * US, 100 * US, called=5 * US)
    line.kernel(FLASH, 100 * US, 180 * US, called=60 * US)
    found = accounted(line, tmp_path)
    assert [step.length for step in found.steps] == [100 * US, 80 * US]
    assert told(found, 1) == {"attention/fused kernels": 80 * US}


def test_backward_is_launched_by_another_thread_and_the_main_one_still_tells(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 100 * US)
    line.kernel(GEMM, 0, 10 * US, called=0)
    line.event("cuda_runtime", "cudaStreamSynchronize", 5 * US, 40 * US)
    line.event("cpu_op", "aten::mm", 50 * US, 60 * US, tid=AUTOGRAD)
    line.kernel(GEMM, 60 * US, 100 * US, called=55 * US, thread=AUTOGRAD)
    assert told(accounted(line, tmp_path)) == {
        "compute/matrix products, ceiling not known": 50 * US,
        "synchronisation/waiting": 30 * US,
        "framework/python": 10 * US,
        "framework/dispatch": 5 * US,
        "kernel_launch/calls": 5 * US,
    }


def test_a_long_gap_without_marks_is_not_called_python(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 5_000 * US)
    line.kernel(GEMM, 4_000 * US, 5_000 * US, called=3_990 * US)
    found = told(accounted(line, tmp_path))
    assert found["unattributed/host outside operators, unmarked"] == 3_990 * US
    line.event("python_function", "train.py(3): step", 0, 5_000 * US)
    assert told(accounted(line, tmp_path))["framework/python"] == 3_990 * US


def test_queued_work_that_starts_late_is_told_as_such(line: Timeline, tmp_path: Path) -> None:
    line.step(0, 0, 200 * US)
    line.kernel(GEMM, 0, 50 * US, called=0)
    line.kernel(GEMM, 150 * US, 200 * US, called=1 * US)
    found = told(accounted(line, tmp_path))
    assert found["kernel_launch/gaps"] == 20 * US
    assert found["unattributed/queued work that did not start"] == 80 * US


def test_a_gap_of_which_the_host_was_not_recorded(line: Timeline, tmp_path: Path) -> None:
    line.kernel(GEMM, 0, 50 * US)
    line.kernel(GEMM, 80 * US, 100 * US)
    assert told(accounted(line, tmp_path))["unattributed/host not recorded"] == 30 * US


def test_of_kernels_that_begin_together_the_first_call_tells_the_gap(line: Timeline, tmp_path: Path) -> None:
    """Whichever of the streams they are on: from 10 us on, where the first was called for, the gap is its launch."""
    for early, late in ((7, 8), (8, 7)):
        line = Timeline()
        line.step(0, 0, 150 * US)
        line.kernel(ADD, 100 * US, 150 * US, called=10 * US, stream=early)
        line.kernel(ADD, 100 * US, 150 * US, called=80 * US, stream=late)
        assert told(accounted(line, tmp_path)) == {
            "framework/python": 10 * US,
            "kernel_launch/calls": 90 * US,
            "memory_bound/elementwise": 50 * US,
        }


def test_short_operators_beside_a_long_one_of_another_thread_hold_nothing_up(tmp_path: Path) -> None:
    line = Timeline(gpu=False)
    line.step(0, 0, 1_000 * US)
    line.event("cpu_op", "aten::mm", 0, 600 * US)
    for start in range(0, 1_000, 10):
        line.event("cpu_op", "aten::add", start * US, (start + 5) * US, tid=AUTOGRAD)
    assert told(accounted(line, tmp_path)) == {
        "compute/matrix products, ceiling not known": 600 * US,
        "kernel_launch/gaps": 395 * US,
        "framework/python": 5 * US,
    }


def test_steps_whose_numbers_do_not_follow_their_times(tmp_path: Path) -> None:
    line = Timeline(gpu=False)
    for number, start in enumerate((100, 200, 0)):
        line.step(number, start * US, (start + 50) * US)
        line.event("cpu_op", "aten::mm", start * US, (start + 40) * US)
    found = accounted(line, tmp_path)
    assert [(step.index, step.length, sum(step.times.values())) for step in found.steps] == [
        (2, 50 * US, 50 * US),
        (0, 50 * US, 50 * US),
        (1, 50 * US, 50 * US),
    ]


def test_numbers_of_steps_that_are_far_apart_are_not_gone_through(tmp_path: Path) -> None:
    line = Timeline(gpu=False)
    for place, number in enumerate((1, 2, 10**14)):
        line.step(number, place * US, (place + 1) * US)
        line.event("cpu_op", "aten::mm", place * US, (place + 1) * US)
    (note,) = (note for note in accounted(line, tmp_path).notes if note.code == "steps-missing")
    assert note.message == "marks of 99,999,999,999,997 steps are missing: 3, 4, 5, 6, 7, ..."


def test_a_trace_in_which_nothing_takes_time_is_refused(line: Timeline, tmp_path: Path) -> None:
    line.kernel(ADD, 5 * US, 5 * US)
    with pytest.raises(InvalidValue, match="begin and end at one instant"):
        accounted(line, tmp_path)


@pytest.mark.parametrize("bad", [{"ts": 10**16}, {"ts": 9.9e15}, {"dur": 10**30}, {"tid": [1]}, {"pid": {"a": 1}}])
def test_an_event_with_a_strange_field_is_left_out(line: Timeline, tmp_path: Path, bad: dict[str, Any]) -> None:
    """Times that no 64 bits hold, and threads that are no name; what is beside it stays."""
    line.kernel(ADD, 0, 10 * US)
    line.events.append({**line.events[0], **bad})
    found = read(Source(line.write(tmp_path / "trace.json")))
    assert len(found.device) == 1
    assert sum(found.left_out.values()) == 1


def test_two_kernels_of_one_operator_that_take_as_long_in_any_order(line: Timeline, tmp_path: Path) -> None:
    """The first has the FLOPs of the operator, whatever the order in the file."""
    sizes = {"Input Dims": [[4096, 4096], [4096, 4096]], "Input type": ["c10::BFloat16", "c10::BFloat16"]}
    line.step(0, 0, 200 * US)
    line.step(1, 200 * US, 400 * US)
    line.event("cpu_op", "aten::mm", 0, 2 * US, **{"External id": 5, **sizes})
    line.kernel(GEMM, 0, 200 * US, **{"External id": 5})
    line.kernel(GEMM, 200 * US, 400 * US, **{"External id": 5})
    question = Question(Hardware["h100-sxm"])
    there, back = (accounted(line, tmp_path, question, events) for events in (line.events, line.events[::-1]))
    assert there == back
    assert there.steps[0].flops == 2 * 4096**3


def test_a_process_of_a_rank_that_drives_two_devices(tmp_path: Path) -> None:
    line = Timeline(rank=3, world=4)
    line.step(0, 0, 20 * US)
    for device in (0, 1):
        line.kernel(ADD, 0, 10 * US, device=device)
    found = explain(line.write(tmp_path / "trace.json"))
    assert [rank.index for rank in found.ranks] == [0, 1]


def test_gaps_by_what_the_host_did(line: Timeline, tmp_path: Path) -> None:
    """A kernel ends at 100 us, the next is called for at 900: what the host did between, one after another."""
    line.step(0, 0, 1000 * US)
    line.kernel(GEMM, 0, 100 * US, called=0)
    line.event("python_function", "<built-in function collect>", 100 * US, 250 * US)
    line.event("cuda_runtime", "cudaMalloc", 250 * US, 400 * US)
    line.event("cuda_driver", "cuModuleLoadData", 400 * US, 500 * US)
    line.event("cpu_op", "aten::add", 500 * US, 560 * US)
    line.event("overhead", "Activity Buffer Request", 560 * US, 600 * US)
    line.event("python_function", "<built-in function sleep>", 600 * US, 800 * US)
    line.kernel("void awq_dequantize_kernel<4>", 910 * US, 1000 * US, called=900 * US)
    assert told(accounted(line, tmp_path)) == {
        "compute/matrix products, ceiling not known": 100 * US,
        "garbage_collection/collector": 150 * US,
        "framework/allocator": 150 * US,
        "os_driver/driver": 100 * US,
        "framework/dispatch": 60 * US,
        "framework/profiler": 40 * US,
        "unattributed/host asleep or in files": 200 * US,
        "framework/python": 100 * US,
        "kernel_launch/calls": 10 * US,
        "quantization/conversion": 90 * US,
    }


def test_products_with_and_without_size_keep_their_own_losses(line: Timeline, tmp_path: Path) -> None:
    """Two products of 100 us on half of the multiprocessors, of which one has no size."""
    line.step(0, 0, 200 * US)
    sizes = {"Input Dims": [[512, 512], [512, 512]], "Input type": ["c10::BFloat16", "c10::BFloat16"]}
    line.event("cpu_op", "aten::mm", 0, 1 * US, **{"External id": 5, **sizes})
    launch = {"grid": [66, 1, 1], "block": [384, 1, 1]}
    line.kernel(GEMM, 0, 100 * US, **{"External id": 5}, **launch)
    line.kernel(GEMM, 100 * US, 200 * US, **launch)
    h100 = Hardware["h100-sxm"]
    ideal = int(2 * 512**3 / h100.peak("bf16").value * 1e9)
    found = told(accounted(line, tmp_path, Question(h100)))
    operands = int(2 * 3 * 512**2 / h100.bandwidth.value * 1e9) - ideal
    assert found == {
        "compute/at the ceiling": ideal,
        "memory_bound/operands of products": pytest.approx(operands, abs=1),
        "occupancy/waves": 100 * US,
        "unattributed/matrix products below the ceiling": pytest.approx(50 * US - ideal - operands, abs=1),
        "unattributed/matrix products of unknown size": 50 * US,
    }


# What holds for any timeline

NAMES = st.sampled_from([GEMM, ADD, FLASH, ALL_REDUCE, SEND_RECV, "Memcpy HtoD (Pinned -> Device)", "my_kernel"])
TIMES = st.integers(0, 3_000_000)
LENGTHS = st.integers(0, 400_000)
KERNELS = st.lists(
    st.tuples(NAMES, TIMES, LENGTHS, st.integers(0, 3), st.one_of(st.none(), TIMES), st.integers(1, 300)),
    min_size=1,
    max_size=25,
)
OPERATORS = st.sampled_from(
    [
        "aten::mm",
        "aten::add",
        "aten::view",
        "enumerate(DataLoader)#x",
        "aten::_softmax",
        "gloo:all_reduce",
        "cudaMalloc",
    ]
)
HOSTS = st.lists(st.tuples(OPERATORS, TIMES, LENGTHS, st.integers(0, 2)), max_size=25)
EDGES = st.lists(TIMES, min_size=2, max_size=6, unique=True)


def any_line(kernels: list[Any], host: list[Any], edges: list[int], *, streams: int = 7, later: int = 0) -> Timeline:
    line = Timeline()
    edges = sorted(edges)
    for number, (start, end) in enumerate(pairwise(edges)):
        line.step(number, start + later, end + later)
    for name, start, length, stream, called, blocks in kernels:
        at = None if called is None else called + later
        launch = {"grid": [blocks, 1, 1], "block": [128, 1, 1]}
        line.kernel(name, start + later, start + length + later, called=at, stream=streams + stream, **launch)
    for name, start, length, thread in host:
        cat = "cuda_runtime" if name.startswith("cuda") else "cpu_op"
        line.event(cat, name, start + later, start + length + later, tid=100 + thread)
    return line


@given(KERNELS, HOSTS, EDGES)
@settings(max_examples=80, deadline=None)
def test_the_parts_sum_to_the_length_to_the_nanosecond(
    tmp_path_factory: pytest.TempPathFactory, kernels: list[Any], host: list[Any], edges: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("sum")
    for question in (Question(), Question(Hardware["h100-sxm"])):
        for step in accounted(any_line(kernels, host, edges), folder, question).steps:
            assert sum(step.times.values()) == step.length
            assert all(ns >= 0 for ns in step.times.values())


@given(KERNELS, HOSTS, EDGES, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_events_and_the_numbers_of_streams_change_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    kernels: list[Any],
    host: list[Any],
    edges: list[int],
    shuffled: random.Random,
) -> None:
    folder = tmp_path_factory.mktemp("order")
    line = any_line(kernels, host, edges)
    plain = accounted(line, folder)
    events = list(line.events)
    shuffled.shuffle(events)
    assert accounted(line, folder, events=events) == plain
    renamed = [{**k} for k in line.events]
    for event in renamed:
        if event["cat"] == "kernel":
            event["tid"] = event["args"]["stream"] = 1000 - event["tid"]
            event["args"] = {**event["args"], "stream": event["tid"]}
    assert accounted(line, folder, events=renamed) == plain


@given(KERNELS, HOSTS, EDGES, st.integers(1, 10**12))
@settings(max_examples=40, deadline=None)
def test_when_the_trace_was_taken_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, kernels: list[Any], host: list[Any], edges: list[int], later: int
) -> None:
    folder = tmp_path_factory.mktemp("later")
    plain, moved = (accounted(any_line(kernels, host, edges, later=ns), folder) for ns in (0, later * 1000))
    assert [(s.length, s.times) for s in plain.steps] == [(s.length, s.times) for s in moved.steps]


@given(KERNELS)
@settings(max_examples=60, deadline=None)
def test_painting_is_what_a_look_at_every_instant_finds(
    tmp_path_factory: pytest.TempPathFactory, kernels: list[Any]
) -> None:
    """Beside a loop over instants: at each, the kernel of the uppermost activity that began first has it."""
    short = [(name, start // 10_000, length // 10_000, *rest) for name, start, length, *rest in kernels]
    spans = read(Source(any_line(short, [], [0, 3_000_000]).write(tmp_path_factory.mktemp("loop") / "t.json"))).device
    import numpy as np

    from mlsysim.timeline.activity import Activity
    from mlsysim.timeline.gaps import by_activity
    from mlsysim.timeline.paint import paint

    kinds = tuple(sorted(Activity(k) for k in set(spans.activity.tolist())))
    found = paint(by_activity(spans, kinds), np.array([0, 400]))
    loop: Counter[int] = Counter()
    for instant in range(400):
        running = [
            (int(spans.activity[i]), int(spans.start[i]), i)
            for i in range(len(spans))
            if spans.start[i] <= instant < spans.end[i]
        ]
        loop[min(running)[0] if running else -1] += 1
    painted: Counter[int] = Counter()
    for one, length in zip(found.layer.tolist(), found.length.tolist(), strict=True):
        painted[int(kinds[one]) if one >= 0 else -1] += length
    assert painted == loop


@given(KERNELS, HOSTS, EDGES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_steps_painted_apart_are_those_painted_together(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    kernels: list[Any],
    host: list[Any],
    edges: list[int],
) -> None:
    line, folder = any_line(kernels, host, edges), tmp_path_factory.mktemp("blocks")
    monkeypatch.setattr("mlsysim.timeline.account.BLOCK", 250_000)
    together = accounted(line, folder)
    monkeypatch.setattr("mlsysim.timeline.account.BLOCK", 0)
    assert accounted(line, folder) == together
