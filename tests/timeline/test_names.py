"""Names as profilers print them are told apart: kernels, operators, calls, marks and functions.

``files/names.tsv`` holds what a span is by its source: kernels read out of published libraries or seen in public
profiles, names of operators and calls. What is written from memory says ``recalled`` in its source; what a name cannot
tell says so in its note. Kernels that move or write one value for each are elementwise, those that only move values are
copies; a kernel that does several things is what it would be without the conversion of formats; what sets up or
finishes a product counts with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from mlsysim.timeline.activity import BOOKED, WORK, Activity, activity

FILE = Path(__file__).parent / "files" / "names.tsv"


class Name(NamedTuple):
    place: str
    name: str
    activity: str
    source: str
    note: str


NAMES = [Name(*line.split("\t")) for line in FILE.read_text(encoding="utf-8").splitlines()[1:]]
KERNELS = [name for name in NAMES if name.place == "kernel"]


def told(names: list[Name]) -> dict[str, tuple[str, str]]:
    """Return the names that are not told as what they are: what each is, and what it is told as."""
    found = {n.name: (n.activity, activity(n.place, n.name).name.lower()) for n in names}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("place", ["kernel", "hlo", "operator", "call", "mark", "python"])
def test_names_are_told_as_what_they_are(place: str) -> None:
    assert told([name for name in NAMES if name.place == place]) == {}


def test_the_names_are_many_each_stands_once_and_says_where_it_is_from() -> None:
    assert len(KERNELS) >= 600
    assert len(NAMES) == len({(n.place, n.name) for n in NAMES})
    assert all(n.source and Activity[n.activity.upper()] for n in NAMES)
    recalled = [n for n in KERNELS if n.source.startswith("recalled")]
    assert len(recalled) < len(KERNELS) / 20


def test_every_kind_of_work_has_names() -> None:
    by_name = {Activity[n.activity.upper()] for n in KERNELS}
    from_elsewhere = {Activity.SCORES, Activity.PASSES, Activity.HIDDEN}  # sizes of operators, logs, missing devices
    assert by_name >= WORK - from_elsewhere


def as_nsight(name: str) -> str:
    """Return the name of a kernel as Nsight prints it, with types before the values of arguments."""
    before, bracket, arguments = name.replace("(anonymous namespace)", "<unnamed>").partition("<")
    arguments = re.sub(r"(?<=[<, ])(\d+)u?l?(?=[,>])", r"(int)\1", bracket + arguments)
    return before + arguments.replace("true", "(bool)1").replace("false", "(bool)0")


def test_what_nsight_prints_is_told_as_what_pytorch_prints() -> None:
    assert as_nsight("void (anonymous namespace)::softmax_warp_forward<float, 10, true>()") == (
        "void <unnamed>::softmax_warp_forward<float, (int)10, (bool)1>()"
    )
    assert told([name._replace(name=as_nsight(name.name)) for name in KERNELS]) == {}


@pytest.mark.parametrize(
    "name",
    [
        "aten::convolution_backward",
        "aten::_flash_attention_backward",
        "aten::_efficient_attention_backward",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    ],
)
def test_the_way_back_does_flops_too(name: str) -> None:
    """A frame of autograd ends in Backward0; an operator that ends in _backward is no frame."""
    assert activity("operator", name) in {Activity.ATTENTION, Activity.MATRIX}
    assert activity("operator", "ConvolutionBackward0") is Activity.IGNORED


@pytest.mark.parametrize(
    ("name", "trap"),
    [
        ("fast_hadamard_transform_kernel", "adam"),
        ("tensorTransformGeneric", "sort"),
        ("NGramHashMappingKernel", "mha"),
        ("iamax_kernel", "amax"),
        ("_gemma4_routing_kernel", "gemm"),
        ("_SplitKernel", "splitk"),
        ("_prepare_prefill_inputs_kernel", "fill"),
        ("rope_norm", "norm"),
        ("cunn_SoftMaxForward<SoftMaxForwardEpilogue>", "log"),
    ],
)
def test_a_word_within_a_word_is_no_sign(name: str, trap: str) -> None:
    kinds = {
        "adam": Activity.OPTIMIZER,
        "sort": Activity.REDUCTION,
        "mha": Activity.ATTENTION,
        "amax": Activity.QUANTIZING,
        "gemm": Activity.MATRIX,
        "splitk": Activity.MATRIX,
        "fill": Activity.COPY,
        "norm": Activity.NORMALISATION,
        "log": Activity.REDUCTION,
    }
    assert trap in name.lower()
    assert activity("kernel", name) is not kinds[trap]


def test_a_scan_of_states_streams_through_memory() -> None:
    assert BOOKED[activity("kernel", "selective_scan_fwd_kernel")].cause == "memory_bound"
