"""How devices share the work, as text, and held against the devices there are."""

import pytest

from mlsysim import Engine
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.setup import Setup, laid_out, setup_of


@pytest.mark.parametrize(
    ("text", "setup"),
    [
        ("tp8 pp4", Setup(tp=8, pp=4)),
        ("TP8,PP4", Setup(tp=8, pp=4)),
        ("tp=2 engine=vllm version=0.19", Setup(engine="vllm", version="0.19", tp=2)),
        ("zero3 micro_batch=1", Setup(zero=3, micro_batch=1)),
        ("zero0", Setup(zero=0)),
    ],
)
def test_text_states_a_plan(text, setup):
    assert setup_of(text) == setup
    assert setup_of(setup) is setup


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tq=8", "unknown part of plan 'tq=8'"),
        ("tp=0", "plan.tp must be a whole number of at least 1, got '0'"),
        ("tp=x", "plan.tp must be a whole number of at least 1, got 'x'"),
        ("", "plan must be a plan such as 'tp8 pp4' or 'engine=vllm tp=2', got ''"),
        (8, "plan must be a plan such as"),
    ],
)
def test_text_that_states_none(text, said):
    with pytest.raises((InvalidValue, UnknownName)) as told:
        setup_of(text)
    assert str(told.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "devices", "said"),
    [
        ("tp3", 1, "plan must be one whose degrees divide 1 device, got 'tp3'; it takes 3, or a multiple of it"),
        ("tp8 pp8", 8, "plan must be one whose degrees divide 8 devices, got 'tp8 pp8'; it takes 64"),
        ("tp3", 8, "plan must be one whose degrees divide 8 devices"),
        ("dp16", 8, "plan.dp must be such that all degrees make 8 devices, got 16; dp = 8, or left out"),
        ("ep16", 8, "plan.ep must be at most the 8 devices there are, got 16"),
        ("zero4", 8, "plan.zero must be from 0 to 3, got 4"),
    ],
)
def test_a_plan_that_devices_cannot_be_laid_out_by(text, devices, said):
    with pytest.raises(InvalidValue) as told:
        laid_out(setup_of(text), devices)
    assert str(told.value).startswith(said)
    with pytest.raises(InvalidValue):
        Engine.solve("llama-3.1-8b", "h100", devices=devices, plan=text)


def test_a_plan_is_counted():
    asked = {"devices": 8, "phase": "decode", "batch_size": 8}
    wide, narrow = (Engine.solve("llama-3.1-8b", "h100", plan=plan, **asked).time_s.value for plan in ("tp8", "tp1"))
    assert wide < narrow, "a layer over eight devices is read by all of them"
    masked = Engine.sweep("llama-3.1-8b", "h100", devices=[4, 8], plan=["tp4", "tp8"], keep=["time_s"])
    assert masked["feasible"].tolist() == [True, False, True, True]
    assert "it takes 8, or a multiple of it" in masked["reason"][1]
