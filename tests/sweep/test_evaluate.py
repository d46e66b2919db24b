"""A sweep is a loop of single answers: every quantity of every point, and why a point has none."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Cluster, Engine, calibrate
from mlsysim.errors import UsageError
from mlsysim.sweep.columns import NO_ROOM
from mlsysim.sweep.quantities import QUANTITIES

MODELS = [
    "llama-3.1-8b",  # dense, grouped heads
    "mixtral-8x7b",  # experts
    "deepseek-v3",  # experts, latent attention
    "jamba-v0.1",  # state spaces among attention
    "bart-large",  # encoder and decoder
    "bert-large",  # encoder
    "resnet-50",  # a network
    "mobilenet-v1-0.25-96",  # for a microcontroller
    "dit-xl-2",  # denoising
]
DEVICES = ["h100", "l4", "mi300x", "tpu-v5e", "graviton4", "stm32h743", "jetson-orin-nx-16gb"]


def expected(solution):
    """Return every quantity of one answer."""
    found = {name: quantity.of(solution) for name, quantity in QUANTITIES.items()}
    return {
        name: math.nan if v is None else QUANTITIES[name].words[v] if QUANTITIES[name].words else v
        for name, v in found.items()
    }


def held_to_single_answers(columns, spelt=None):
    """Hold each row of a sweep to Engine.solve of its coordinates; return how many were feasible.

    ``spelt`` is what labels stand for that are no names.
    """
    feasible = 0
    for n in range(columns.points):
        asked = {name: columns[name][n] for name in columns.coordinates}
        asked = {name: v.item() if hasattr(v, "item") else v for name, v in asked.items()}
        asked = {name: (spelt or {}).get(v, v) for name, v in asked.items() if v != 0}
        if "efficiency_asked" in asked:
            eta = asked.pop("efficiency_asked")
            asked["efficiency"] = float(eta) if isinstance(eta, str) else eta
        why = columns["reason"][n]
        if why and why != NO_ROOM:
            with pytest.raises(UsageError, match=f"^{re.escape(why)}$"):
                Engine.solve(**asked)
            assert not columns["feasible"][n]
            assert math.isnan(columns["time_s"][n])
            continue
        answer = Engine.solve(**asked)
        assert columns["feasible"][n] == answer.fits
        assert why == ("" if answer.fits else NO_ROOM)
        for name, value in expected(answer.costs).items():
            found = columns[name][n]
            if QUANTITIES[name].words:
                assert found == (value if answer.fits else "")
            elif answer.fits or not QUANTITIES[name].masked:
                assert found == pytest.approx(value, rel=1e-12, nan_ok=True), (name, asked)
            else:
                assert math.isnan(found), (name, asked)
        feasible += answer.fits
    return feasible


several = lambda values, most: st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)  # noqa: E731


@settings(deadline=None, max_examples=60)
@given(
    model=st.sampled_from(MODELS),
    hardware=several(DEVICES, 2),
    phase=st.sampled_from(["forward", "decode", "training"]),
    batch_size=several([1, 2, 3, 17, 64, 300, 2048], 3),
    lengths=several([1, 7, 128, 2048, 9000], 2),
    precision=st.none() | several(["fp16", "bf16", "fp8", "int8", "fp32"], 2),
    efficiency=st.none() | several([0.001, 0.3, 1.0], 2),
    devices=st.none() | several([1, 8], 2),
    price=st.none() | several([0.5, 3.0], 2),
)
def test_every_point_is_a_single_answer(
    model, hardware, phase, batch_size, lengths, precision, efficiency, devices, price
):
    fields = {"phase": phase, "batch_size": batch_size, "efficiency": efficiency, "usd_per_hour": price}
    fields |= {"precision": precision, "devices": devices, "context" if phase == "decode" else "seq_len": lengths}
    try:
        columns = Engine.sweep(model, hardware, **fields)
    except UsageError:  # such as decode of a network: no point can be asked at all
        for one, b in itertools.product(hardware, batch_size):
            with pytest.raises(UsageError):
                Engine.solve(
                    model,
                    one,
                    phase=phase,
                    batch_size=b,
                    precision=precision[0] if precision else None,
                    **{"context" if phase == "decode" else "seq_len": lengths[0]},
                )
        return
    held_to_single_answers(columns)


@pytest.fixture(scope="module")
def calibration():
    return calibrate(model="llama-3.1-8b", hardware="h100", phase="decode", batch_size=16, context=1024, time_s=0.01)


def test_a_calibration_is_moved_to_each_point_as_to_a_single_one(calibration):
    fields = {"phase": "decode", "batch_size": [1, 16, 200], "context": [128, 4096]}
    columns = Engine.sweep(["llama-3.1-8b", "mixtral-8x7b"], ["h100", "a100", "b200"], efficiency=calibration, **fields)
    assert held_to_single_answers(columns, {repr(calibration): calibration}) == columns["feasible"].sum() > 18
    both = Engine.sweep("llama-3.1-8b", "h100", efficiency=[None, calibration, 0.002], **fields)
    assert list(dict.fromkeys(both["efficiency_asked"])) == ["predicted", repr(calibration), "0.002"]
    held_to_single_answers(both, {repr(calibration): calibration, "predicted": None})
    # The point that was measured takes the time that was measured.
    here = (both["batch_size"] == 16) & (both["efficiency_asked"] == repr(calibration))
    at = Engine.sweep("llama-3.1-8b", "h100", efficiency=calibration, phase="decode", batch_size=[16], context=[1024])
    assert at["time_s"][0] == pytest.approx(0.01, rel=1e-12)
    assert here.sum() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"phase": "training", "devices": [8, 64], "batch_size": [8, 512], "recompute": ["none", "selective", "full"]},
        {"phase": "training", "devices": [8], "batch_size": [8, 512], "lora_rank": [8, 64]},
        {"phase": "training", "devices": [64], "batch_size": [512], "plan": ["tp8", "tp2 pp2", "zero3"]},
        {"models": "bart-large", "phase": ["forward", "training"], "batch_size": [1, 8], "target_len": [1, 64]},
        {"models": "dit-xl-2", "batch_size": [1, 8], "steps": [1, 50]},
        {"models": "deepseek-v3", "hardware": "h200", "phase": "decode", "devices": [16], "draft": "mtp"}
        | {"acceptance": [0.2, 0.8], "batch_size": [1, 100]},
        {"models": "llama-3.1-70b", "phase": "decode", "devices": [4], "draft": "llama-3.1-8b", "draft_tokens": [2, 5]}
        | {"acceptance": [0.3, 1.0]},
        {"phase": "decode", "batch_size": [1, 64], "region": ["France", "Poland"], "pue": [1.1, 1.4]},
    ],
)
def test_what_modifies_a_step_modifies_each_point(fields):
    columns = Engine.sweep(**{"models": "llama-3.1-8b", "hardware": "h100", **fields})
    assert held_to_single_answers(columns, {"1.1": 1.1, "1.4": 1.4}) > 0


def test_a_cluster_is_one_choice_of_hardware():
    cluster = Cluster("dgx-h100", nodes=2)
    columns = Engine.sweep("llama-3.1-8b", [cluster, "h100"], phase="decode", batch_size=[1, 64])
    assert list(columns["hardware"]) == ["2 x dgx-h100"] * 2 + ["h100-sxm"] * 2
    assert held_to_single_answers(columns, {"2 x dgx-h100": cluster}) == 4


def test_a_sweep_by_hand():
    columns = Engine.sweep(
        "llama-3.1-8b", ["h100", "a100"], efficiency=[0.2, 0.4], seq_len=[512, 1024], usd_per_hour=[2.0, 3.0]
    )
    assert columns.points == 16
    # Peaks are 989 and 312 TFLOP/s, dense, in 16 bit (sources in the tables of hardware).
    peak = np.where(columns["hardware"] == "h100-sxm", 989e12, 312e12)
    time_s = columns["flops"] / (peak * columns["efficiency_asked"])
    assert columns["time_s"] == pytest.approx(time_s, rel=1e-3)
    assert columns["cost_usd"] == pytest.approx(columns["time_s"] * columns["usd_per_hour"] / 3600, rel=1e-12)
    assert columns["throughput"] == pytest.approx(columns["seq_len"] / columns["time_s"], rel=1e-12)


def test_parts_of_the_time_sum_to_it_at_every_point():
    columns = Engine.sweep(
        ["llama-3.1-8b", "resnet-50"], ["h100", "graviton4"], phase="forward", batch_size="1..4096*2", efficiency=None
    )
    parts = sum(columns[name] for name in ("compute_s", "memory_s", "overhead_s", "software_s"))
    fits = columns["feasible"]
    assert (np.abs(parts - columns["time_s"])[fits] <= np.spacing(columns["time_s"][fits])).all()
    stated = Engine.sweep("llama-3.1-8b", ["h100", "graviton4"], batch_size="1..64*2", efficiency="0.01..1/20")
    parts = sum(stated[name] for name in ("compute_s", "memory_s", "overhead_s", "software_s"))
    assert np.array_equal(parts, stated["time_s"], equal_nan=True)
