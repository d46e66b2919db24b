"""Names of boards, refusals, and the equations of small machines against values computed by hand."""

from __future__ import annotations

import pytest

from mlsysim.efficiency.equations import edge, tinyml
from mlsysim.evidence.boards import edge_board, micro_board
from mlsysim.evidence.edge_rows import EdgeRun, TinyRun, edge_measurement, library_of, tinyml_measurement
from mlsysim.evidence.measurement import Refused
from mlsysim.models import Models, NetworkSpec
from mlsysim.models.network import Layer
from mlsysim.setup import UNKNOWN

ROW = {
    "id": "ncnn-9",
    "model": "ResNet18",
    "quant": "fp32-or-fp16",
    "engine": "ncnn-cpu",
    "hardware": "some-board-cortex-a72-1.8ghz-x-2-cortex-a53-1.5g",
    "batch": "1",
    "metric": "latency_ms",
    "value": "100",
    "notes": "Some Board (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4); threads=2 powersave=2 gpu_device=-1",
}
TINY = {
    "id": "mlptiny12-9",
    "model": "mlperf-tiny-ic-resnet8",
    "quant": "int8",
    "engine": "Plumerai Inference Engine",
    "hardware": "nucleo_l4r5zi",
    "batch": "1",
    "metric": "samples_per_s",
    "value": "10",
    "notes": "submitter=plumerai; cpu=ARM Cortex-M4 with FPU; freq=120 MHz; accel=; sw=",
}


@pytest.mark.parametrize(
    ("name", "threads", "powersave", "expected"),
    [
        ("Amlogic S805 (Cortex-A5, 4 × 1.536GHz)", 4, 2, ("cortex-a5", 1.536e9, 4)),
        ("RK3588 (Quad Core A76 2.4GHz + Quad Core A55 1.8GHz)", 4, 2, ("cortex-a76", 2.4e9, 4)),
        ("RK3588 (Quad Core A76 2.4GHz + Quad Core A55 1.8GHz)", 4, 1, ("cortex-a55", 1.8e9, 4)),
        ("Radxa Zero 3W, Cortex-A55 (ARMv82) (1.416 GHz x 4)", 1, 0, ("cortex-a55", 1.416e9, 1)),
        ("AMD (Zen 2.0 GHz ~ 3.6 GHz x 4)", 4, 0, ("zen", 3.6e9, 4)),
        ("Snapdragon 835 (Kyro 2.45GHz x 4 + Kyro 1.9GHz x 4)", 1, 2, ("cortex-a73", 2.45e9, 1)),
        ("Z7-Lite (Cortex-A9 766MHz x 2)", 2, 0, ("cortex-a9", 766e6, 2)),
    ],
)
def test_cores_clocks_and_threads(name: str, threads: int, powersave: int, expected: tuple[str, float, int]) -> None:
    board = edge_board(name, threads, powersave)
    assert (board.core.name, board.clock_hz, board.cores) == expected


def test_slow_cores_beside_fast_ones() -> None:
    board = edge_board("Thing (Cortex-A76 2.0GHz x 2 + Cortex-A53 1.0GHz x 2)", 4)
    assert board.slowest == pytest.approx(4 * 1.0 / (8 * 2.0))
    assert board.mean == pytest.approx((1 + 1 + 0.25 + 0.25) / 4)


def test_more_threads_than_cores() -> None:
    board = edge_board("RZG2L(Cortex-A55 1.5GHz x 2)", 4)
    assert (board.threads, board.cores) == (4, 2)


def test_the_gpu_that_is_numbered() -> None:
    name = "MacBook Pro (15-inch, 2019) - Intel Core i7 && Radeon Pro 555X 4GB && Intel UHD Graphics 630 1536MB"
    assert [edge_board(name, 1, 0, g).core.name for g in (0, 1)] == ["radeon-pro-555x", "uhd-630"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("A board of mine",), "core cannot be told"), (("Pi (Cortex-A53 1GHz x 4)", 1, 0, 0), "GPU that is not known")],
)
def test_names_that_say_too_little(arguments: tuple[str, int, int, int], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        edge_board(*arguments)


def test_microcontrollers_by_what_is_stated_or_by_the_board() -> None:
    stated = micro_board("numaker", "Arm® Cortex®-M4F", "200 MHz")
    assert (stated.core.name, stated.clock_hz) == ("cortex-m4", 200e6)
    known = micro_board("nucleo_l4r5zi")
    assert (known.core.name, known.clock_hz) == ("cortex-m4", 120e6)
    assert micro_board("esp32-s3").core.name == "xtensa-lx7"
    with pytest.raises(Refused, match="accelerator"):
        micro_board("ndp9120", "HiFi3 + M0", "30.7 MHz", "Syntiant Core 2")


@pytest.mark.parametrize(
    ("text", "library"),
    [
        ("Bosch HALE version 1.0", "hale"),
        ("? nucleo-h7a3zi-q_x-cube-ai-8.0", "x-cube-ai"),
        ("microTVM nucleo-l4r5zi_microtvm-native", "tvm"),
        ("microTVM cmsis-nn", "tvm-cmsis"),
        ("?", "other"),
    ],
)
def test_libraries(text: str, library: str) -> None:
    assert library_of(text) == library


def test_rows() -> None:
    m = edge_measurement(ROW)
    assert (m.seconds, m.regime, m.source, m.model) == (0.1, "edge", "ncnn", "resnet18")
    assert (m.question.board.core.name, m.question.board.cores) == ("cortex-a72", 2)
    t = tinyml_measurement(TINY)
    assert (t.seconds, t.regime, t.hardware, t.engine) == (0.1, "tinyml", "nucleo-l4r5zi", "plumerai")
    assert t.source == "mlptiny12-plumerai"
    with pytest.raises(Refused, match="faster than all lanes"):
        edge_measurement({**ROW, "value": "0.1"})
    with pytest.raises(Refused, match="precision"):
        edge_measurement({**ROW, "quant": "int3"})


def test_squeezenet_at_the_size_that_ncnn_takes() -> None:
    ours, theirs = Models["squeezenet-1.1"], edge_measurement({**ROW, "model": "squeezenet"}).question.network
    assert isinstance(ours, NetworkSpec)
    assert theirs.table[0].output_elements == 64 * 113 * 113
    assert theirs.parameters == ours.parameters
    assert theirs.table[-2].output_elements == pytest.approx(14 * 14 * 1000, rel=0.001)


def test_which_convolutions_are_winograds() -> None:
    same = Layer("c", "conv", 9 * 64 * 64 * 28 * 28, 9 * 64 * 64, 64 * 28 * 28, 64 * 28 * 28)
    halved = Layer("c", "conv", 9 * 64 * 64 * 14 * 14, 9 * 64 * 64, 64 * 28 * 28, 64 * 14 * 14)
    point = Layer("c", "conv", 64 * 64 * 28 * 28, 64 * 64, 64 * 28 * 28, 64 * 28 * 28)
    assert [edge.by_winograd(c) for c in (same, halved, point)] == [True, False, False]
    assert edge.left(28 * 28) == pytest.approx((5 * 8) ** 2 / (9 * 28 * 28))  # five tiles of 6 beat seven of 4


def test_edge_equation_by_hand() -> None:
    table = (
        Layer("c", "conv", 64 * 64 * 100, 64 * 64, 6400, 6400),
        Layer("d", "depthwise", 9 * 6400, 9 * 64, 6400, 6400),
        Layer("p", "pool", 0, 0, 6400, 64),
        Layer("f", "linear", 64 * 1000, 64 * 1000, 64, 1000),
    )
    board = edge_board("Thing (Cortex-A72 2.0GHz x 4)", 2)
    case = edge.case(EdgeRun(NetworkSpec("n", table), board, "float", "ncnn-cpu"), UNKNOWN)
    p = dict.fromkeys(edge.NAMES, 0.5)
    rate = 4 * 2e9
    arithmetic = (409600 + 409600 * 64 / 100 * 0.5 + 57600) / 0.5 / rate
    moved = (12800 + 1064 + 0.5 * 6464) * 0.5 / 2e9
    body = (arithmetic + moved) / (2 / 1.5)
    read = 64000 * 2 / (12e9 * 0.5)
    calls = 4 * (0.5 + 0.5)
    assert edge.seconds(case.x, p) == pytest.approx(0.5 * (body + read + calls))


def test_tinyml_equation_by_hand() -> None:
    table = (
        Layer("c", "conv", 1000, 10, 100, 100),
        Layer("d", "depthwise", 100, 10, 100, 100),
        Layer("f", "linear", 50, 50, 10, 5),
    )
    run = TinyRun(NetworkSpec("n", table), micro_board("x", "Cortex-M4", "100 MHz"), "fp32", "hale")
    case = tinyml.case(run, UNKNOWN)
    p = dict.fromkeys(tinyml.NAMES, 0.5)
    cycles = (1000 + 200 + 100) / (0.33 * 0.5) * 0.5 + 3 * 0.5
    assert tinyml.seconds(case.x, p) == pytest.approx(0.5 * cycles / 100e6)
