"""Number formats: the bytes of a value, by hand; names in any spelling."""

import pytest

from mlsysim.errors import UnknownName
from mlsysim.precision import BYTES, bytes_per_value, bytes_per_weight, parse_precision

BITS = {
    "fp64": 64, "fp32": 32, "tf32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp6": 6, "fp4": 4, "int4": 4,
    "mxfp8": 8 + 8 / 32,  # one 8-bit scale for 32 values
    "mxfp4": 4 + 8 / 32,
    "nvfp4": 4 + 8 / 16,  # one 8-bit scale for 16 values
}  # fmt: skip


def test_bits_of_every_format():
    assert {name: 8 * size for name, size in BYTES.items()} == BITS


def test_sparse_weights_keep_half_and_four_bits_for_four():
    # 16-bit: two values of 16 bits and two indices of 2 bits for four weights, 9 bits a weight.
    assert 8 * bytes_per_weight("fp16-sparse") == 9
    assert 8 * bytes_per_value("fp16-sparse") == 16


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("BF16", "bf16"), ("bfloat16", "bf16"), ("half", "fp16"), ("e4m3", "fp8"), ("NV-FP4", "nvfp4"),
     ("FP8 sparse", "fp8-sparse"), ("fp8_sparse", "fp8-sparse")],
)  # fmt: skip
def test_spellings(spelling, name):
    assert parse_precision(spelling) == name


def test_a_miss_suggests_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown precision 'fp7': did you mean fp8, fp6 or fp4\?"):
        parse_precision("fp7")
