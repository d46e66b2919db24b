"""Number formats: the bytes of a value, by hand; names in any spelling."""

import pytest

from mlsysim import Hardware
from mlsysim.errors import UnknownName, UnsupportedPrecision
from mlsysim.precision import BYTES, bytes_per_value, bytes_per_weight, parse_precision, roles

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


@pytest.mark.parametrize(
    ("spelling", "name", "bits", "compute"),
    [
        # weights, activations, cache
        ("w4a16", "w4a16", (4, 16, 16), "bf16"),
        ("W4A16KV8", "w4a16kv8", (4, 16, 8), "bf16"),
        ("w4a8kv4", "w4a8kv4", (4, 8, 4), "int8"),
        ("w8a8", "w8a8", (8, 8, 8), "int8"),
        ("wfp8afp8kv8", "wfp8afp8kv8", (8, 8, 8), "fp8"),
        ("w-mxfp4-a16", "wmxfp4a16", (4.25, 16, 16), "bf16"),
        ("fp8-kv16", "fp8kv16", (8, 8, 16), "fp8"),
        ("w3.5a16", "w3.5a16", (3.5, 16, 16), "bf16"),
        # Block formats of GGUF: 32 values of 4 bits and a 16-bit scale; 256 values in 210 bytes; a published average.
        ("Q4_0", "q4_0", (4.5, 16, 16), "int8"),
        ("q6-K", "q6_k", (6.5625, 16, 16), "int8"),
        ("Q4_K_M", "q4_k_m", (4.84, 16, 16), "int8"),
        ("gguf4.85", "gguf4.85", (4.85, 16, 16), "int8"),
    ],
)
def test_roles_by_name(spelling, name, bits, compute):
    assert parse_precision(spelling) == name
    r = roles(name)
    assert (8 * r.weight, 8 * r.activation, 8 * r.cache) == pytest.approx(bits)
    assert r.compute[0] == compute
    assert r.dequantized == (bits[0] < bits[1])


def test_roles_of_training():
    # Mixed precision (arXiv:1910.02054): 2 B weight, 2 B gradient, 4 + 4 + 4 B of master copy and two moments.
    assert (roles("bf16").copy, roles("bf16").gradient, roles("bf16").state) == (2, None, 12)
    # 8-bit moments (arXiv:2110.02861) and fp32 gradients; fp32 weights are their own master.
    assert (roles("bf16grad32opt8").gradient, roles("bf16grad32opt8").state) == (4, 6)
    assert roles("fp32").state == 8
    assert roles("fp8").copy == 2


def test_an_accumulator_is_a_role_with_a_peak_of_its_own():
    # GeForce cards multiply fp16 at twice the rate where sums are kept in fp16 (NVIDIA Ada whitepaper, appendix A).
    card = Hardware["rtx-4090"]
    assert card.peak("fp16acc16").value == pytest.approx(2 * card.peak("fp16").value, rel=0.01)
    assert roles("fp16").accumulation == "fp32"
    assert roles("w8a8").accumulation == "int32"


@pytest.mark.parametrize("name", ["w4", "w4a5", "bg16", "w0a16", "kv8", "q4_0sparse", "w4a16sparse", "", "w4a16kv"])
def test_what_is_no_precision(name):
    with pytest.raises(UnknownName, match="w4a16kv8 states weights, activations and cache"):
        parse_precision(name)


def test_a_weight_only_format_runs_on_any_device_with_16_bits():
    a100, t4 = Hardware["a100-sxm-80gb"], Hardware["t4"]
    assert a100.peak("w4a16") == a100.peak("bf16")
    assert t4.peak("w4a16") == t4.peak("fp16")
    assert a100.peak("q4_0") == a100.peak("int8")
    with pytest.raises(UnsupportedPrecision):
        a100.peak("wfp8afp8")
    assert "w4a16" in a100.narrower("bf16")
