"""FLOPs and bytes of operators from recorded sizes, and the losses of launches, beside values worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.physics.occupancy import resident_blocks, tile_loss, warp_loss, wave_loss
from mlsysim.timeline.activity import Activity
from mlsysim.timeline.kernels import losses
from mlsysim.timeline.operators import NOTHING, cost
from mlsysim.timeline.trace import Accelerator, Launch, Operator


def operator(name: str, *dims: Any, told: list[str] | None = None, kind: str = "c10::BFloat16") -> Operator:
    return Operator(name, *(json.dumps(v).encode() for v in (dims, [kind] * len(dims), told or [])))


def test_a_product_of_matrices() -> None:
    found = cost(operator("aten::mm", [4096, 1024], [1024, 512]))
    assert found.flops == 2 * 4096 * 1024 * 512
    assert found.traffic_bytes == 2 * (4096 * 1024 + 1024 * 512 + 4096 * 512)
    assert (found.precision, found.rows, found.columns) == ("bf16", 4096, 512)


@pytest.mark.parametrize(
    ("one", "flops"),
    [
        (operator("aten::addmm", [8], [4, 6], [6, 8]), 2 * 4 * 6 * 8),
        (operator("aten::bmm", [3, 4, 6], [3, 6, 8]), 2 * 3 * 4 * 6 * 8),
        (operator("aten::mv", [4, 6], [6]), 2 * 4 * 6),
        (
            operator(
                "aten::_convolution",
                [2, 3, 32, 32],
                [8, 3, 3, 3],
                [8],
                told=["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False"],
            ),
            2 * (2 * 8 * 16 * 16) * (3 * 3 * 3),  # 16 = floor((32 + 2 - 2 - 1) / 2) + 1 places a side
        ),
        (operator("aten::convolution_backward", [2, 8, 16, 16], [2, 3, 32, 32], [8, 3, 3, 3]), 4 * 4096 * 27),
        (operator("aten::scaled_dot_product_attention", *[[2, 8, 128, 64]] * 3), 4 * 2 * 8 * 128 * 128 * 64),
        (operator("aten::_flash_attention_forward", *[[2, 128, 8, 64]] * 3), 4 * 2 * 8 * 128 * 128 * 64),
        (
            operator("aten::_flash_attention_forward", *[[2, 128, 8, 64]] * 3, told=["", "", "", "True"]),
            2 * 2 * 8 * 128 * 128 * 64,
        ),
        (operator("aten::_flash_attention_backward", *[[2, 128, 8, 64]] * 4), 10 * 2 * 8 * 128 * 128 * 64),
    ],
)
def test_flops_by_hand(one: Operator, flops: float) -> None:
    assert cost(one).flops == flops


@pytest.mark.parametrize(
    "one",
    [
        operator("aten::mm", [4, 6], [5, 8]),
        operator("aten::mm", [4]),
        operator("aten::add", [4, 6], [4, 6]),
        operator("aten::_softmax", [2, 8, 128, 128]),
        Operator("aten::mm", b"[[4, 6], [6"),
        Operator("aten::_convolution", b"[[1, 3, 8, 8], [4, 3, 3, 3]]", b"[]", b"[]"),
    ],
)
def test_sizes_that_do_not_tell_are_no_work(one: Operator) -> None:
    assert cost(one) == NOTHING


def test_what_a_profiler_counted_itself_is_taken() -> None:
    found = cost(Operator("fusion.3", b"", b"", b'{"flops": 2000, "bytes": 300, "precision": "bf16"}'))
    assert found[:3] == (2000.0, 300.0, "bf16")


def test_waves_by_hand() -> None:
    assert wave_loss(66, 132, 4) == 0.5  # half of the multiprocessors have nothing
    assert wave_loss(132, 132, 4) == 0.0
    assert wave_loss(198, 132, 4) == pytest.approx(0.25)  # 1.5 blocks on average take as long as 2
    assert wave_loss(133, 132, 1) == pytest.approx(1 - (133 / 132) / 2)
    assert wave_loss(0, 132, 1) == 0.0


def test_tiles_by_hand() -> None:
    assert tile_loss(256, 256, 128, 128) == 0.0
    assert tile_loss(129, 128, 128, 128) == pytest.approx(1 - 129 / 256)


def test_warps_by_hand() -> None:
    """3.35 TB/s x 600 ns = 2.01 MB under way: 15.2 kB on each of 132, 29.7 warps of 32 x 16 bytes."""
    assert warp_loss(64, 132, 3.35e12) == 0.0
    assert warp_loss(14.87, 132, 3.35e12) == pytest.approx(0.5, abs=0.001)


def test_blocks_that_a_multiprocessor_holds() -> None:
    """Of an H100: 2,048 threads, 65,536 registers, 228 KB."""
    h100 = {"of_threads": 2048, "of_registers": 65536, "of_shared": 233472}
    assert resident_blocks(256, 32, 0, **h100) == 8
    assert resident_blocks(384, 168, 0, **h100) == 1  # 12 warps x 5,376 registers
    assert resident_blocks(128, 32, 100_000, **h100) == 2
    assert resident_blocks(128, 0, 0, of_threads=0, of_registers=0, of_shared=0) == 1


@given(st.integers(1, 10_000), st.integers(1, 200), st.integers(1, 32))
def test_no_more_than_all_is_lost(blocks: int, multiprocessors: int, resident: int) -> None:
    assert 0.0 <= wave_loss(blocks, multiprocessors, resident) < 1.0
    assert wave_loss(blocks * multiprocessors * resident, multiprocessors, resident) == pytest.approx(0.0, abs=1e-12)


def test_losses_of_a_kernel_are_those_of_its_launch_and_its_tiles() -> None:
    h100 = Accelerator("NVIDIA H100", 132, 2048, 65536, 233472)
    product = cost(operator("aten::mm", [8192, 4096], [4096, 192]))
    found = losses("ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_nn", None, Activity.MATRIX, product, h100, 3.35e12)
    assert found.tiles == pytest.approx(0.25)  # 192 columns in two tiles of 128
    launch = Launch(blocks=66, threads=256, registers=32)
    copied = losses("vectorized_elementwise_kernel", launch, Activity.ELEMENTWISE, NOTHING, h100, 3.35e12)
    assert (copied.tiles, copied.waves) == (0.0, 0.5)
    assert copied.warps == pytest.approx(1 - 8 / 29.69, abs=0.002)  # one block of 8 warps on each that has one
    assert losses("gemm", launch, Activity.MATRIX, NOTHING, h100, 3.35e12).warps == 0.0
