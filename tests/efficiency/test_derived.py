"""Where the time of a solved question goes: causes that sum to it, each by hand, and what is not claimed."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, calibrate
from mlsysim.cli.app import app
from mlsysim.efficiency.breakdown import Breakdown
from mlsysim.efficiency.derived import left, moved, prediction_of, run_of
from mlsysim.efficiency.equations import EQUATIONS, step, training
from mlsysim.efficiency.equations.plan import plan_of
from mlsysim.efficiency.factors import causes, visible
from mlsysim.efficiency.fitted import known_parameters
from mlsysim.efficiency.losses import _BACKWARD, _EXPANDED, ARITHMETIC, LOSSES, MOVED, OVERLAPPING, values_of
from mlsysim.efficiency.predict import prediction
from mlsysim.efficiency.structure import structure
from mlsysim.errors import UsageError
from mlsysim.setup import Setup

DECODE = {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode"}
TRAINING = {
    "model": "llama-3.1-70b",
    "hardware": "h100",
    "phase": "training",
    "batch_size": 512,
    "devices": 128,
    "plan": "tp8 pp4",
}
QUESTIONS = {
    "decode": DECODE,
    "decode between one and many": {**DECODE, "batch_size": 8},
    "decode served": {**DECODE, "batch_size": 64},
    "decode on 8": {"model": "llama-3.1-70b", "hardware": "h100", "phase": "decode", "devices": 8, "precision": "fp8"},
    "decode of experts": {"model": "deepseek-v3", "hardware": "h200", "phase": "decode", "devices": 16},
    "decode of narrow weights": {**DECODE, "hardware": "rtx-4090", "precision": "q4_k_m", "plan": "engine=llama.cpp"},
    "decode in turn": {**DECODE, "devices": 2, "plan": Setup(engine="llama.cpp", layer_split=True)},
    "prefill": {"model": "llama-3.1-8b", "hardware": "h100"},
    "short prefill": {"model": "llama-3.1-8b", "hardware": "h100", "seq_len": 8},
    "prefill of narrow weights": {
        "model": "llama-3.1-8b",
        "hardware": "rtx-4090",
        "precision": "q4_k_m",
        "plan": "engine=llama.cpp",
    },
    "encoder": {"model": "bert-large", "hardware": "a100", "batch_size": 8},
    "training": {"model": "llama-3.1-8b", "hardware": "h100", "phase": "training", "batch_size": 64, "devices": 8},
    "training with a plan": TRAINING,
    "training in fp8": {**TRAINING, "precision": "fp8"},
    "training of experts": {**TRAINING, "model": "mixtral-8x7b", "plan": None},
    "training of adapters": {**TRAINING, "plan": None, "lora_rank": 16},
    "training without recomputation": {**TRAINING, "recompute": "none"},
    "vision": {"model": "resnet-50", "hardware": "a100", "batch_size": 64},
    "vision in int8": {"model": "resnet-50", "hardware": "h100", "precision": "int8"},
    "vision training": {
        "model": "resnet-50",
        "hardware": "a100",
        "phase": "training",
        "batch_size": 256,
        "devices": 8,
    },
    "recommendation": {"model": "dlrm", "hardware": "a100", "batch_size": 2048},
    "diffusion": {"model": "sdxl", "hardware": "h100"},
    "phone": {"model": "mobilenet-v2", "hardware": "raspberry-pi-5", "batch_size": 4},
    "microcontroller": {"model": "ds-cnn", "hardware": "esp32"},
    "percentiles": {"model": "resnet-50", "hardware": "epyc-9654"},
    "stated": {**DECODE, "efficiency": 0.002},
    "stated with a plan": {**TRAINING, "efficiency": 0.4},
}
of_all = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)


def explained(**question):
    return Engine.solve(**question).explain()


def state(of, cause, part):
    """Return what is left of the time once something was taken off, and what was left before [s]."""
    result = Engine.solve(**of)
    before, found = result.time_s.value, None
    for one in left(result.basis, prediction_of(result.basis)):
        if (one.cause, one.part) == (cause, part):
            found = before, one.seconds
        before = one.seconds
    return found


def numbers(question):
    """Return a question's prediction and the numbers and parameters of its one case."""
    basis = Engine.solve(**question).basis
    found = prediction(basis.scenario, basis.setup)
    ((case, _),) = found.parts
    return case.x, known_parameters(case.equation, tuple(case.levels.items())), basis


# Sums


def holds(result):
    """Assert what holds of any breakdown of a solved question."""
    b = result.explain()
    assert isinstance(b, Breakdown)
    assert sum(c.seconds for c in b.causes) == b.measured_s == result.time_s.value
    assert math.fsum(p.seconds for c in b.causes for p in c.parts) == b.measured_s
    assert all(p.seconds > 0 for c in b.causes for p in c.parts)
    assert {p.kind for c in b.causes for p in c.parts} <= {"derived", "unattributed"}
    assert sum(c.share for c in b.causes) == pytest.approx(1, rel=1e-12)
    assert b.ideal_s == b.seconds("compute") == pytest.approx(result.flops / result.peak_flops, rel=1e-9)
    assert b.eta == pytest.approx(result.efficiency.achieved, rel=1e-9)
    rounding = 1e-12 * b.measured_s
    assert b.seconds("memory_bound") >= result.breakdown_s["memory"] - rounding
    assert (b.source, b.steps, b.ranks, b.devices) == ("solve", (), (), result.devices)
    told = {c.name for c in b.causes}
    assert told <= set(causes())
    assert not told & {n.name for n in b.not_visible}
    return b


def falls(result):
    """Assert that what is left never grows as one thing after another is taken off: no loss is negative."""
    basis, before = result.basis, result.time_s.value
    found = prediction_of(basis)
    if found is not None:
        run = run_of(basis, found)
        asked = max(run.seconds(), basis.roof.floor_s + max(run.fixed(), 0.0))
        assert asked == pytest.approx(before, rel=1e-9)
    for one in left(basis, found):
        assert one.seconds <= before * (1 + 1e-12), one  # the last place of a power is not exact
        before = one.seconds
    assert before == pytest.approx(basis.roof.compute_s, rel=1e-12)


@of_all
def test_causes_sum_to_the_time_of_every_kind_of_question(question):
    result = Engine.solve(**question)
    b = holds(result)
    falls(result)
    assert str(b).startswith(b.about)
    assert json.loads(json.dumps(b.to_dict(), allow_nan=False))["causes"][0]["name"] == "compute"


MODELS = "llama-3.1-8b llama-3.1-405b mixtral-8x7b deepseek-v3 gpt2 mamba-2.8b bert-large t5-large resnet-50 dlrm sdxl"
HARDWARE = "h100 l4 mi300x tpu-v5e apple-m2-ultra rtx-4090 v100 t4 b200 a100-pcie-40gb raspberry-pi-5 esp32 epyc-9654"
PLANS = ["tp2", "pp4", "tp2 pp2 vpp2", "engine=vllm", "engine=llama.cpp", "engine=pytorch", "engine=megatron tp8"]


@settings(deadline=None, max_examples=150)
@given(
    model=st.sampled_from([*MODELS.split(), "ds-cnn", "mobilenet-v2", "vit-b-16"]),
    hardware=st.sampled_from([*HARDWARE.split(), "jetson-agx-orin-64gb"]),
    phase=st.sampled_from(["forward", "decode", "training"]),
    batch=st.sampled_from([1, 2, 7, 31, 32, 256]),
    devices=st.sampled_from([1, 2, 8, 64]),
    precision=st.sampled_from([None, "bf16", "fp8", "int8", "q4_k_m", "fp32"]),
    plan=st.sampled_from([None, *PLANS, Setup(engine="llama.cpp", layer_split=True)]),
    efficiency=st.sampled_from([None, None, None, 0.3]),
)
def test_causes_sum_and_no_loss_is_negative(model, hardware, phase, batch, devices, precision, plan, efficiency):
    question = {"phase": phase, "batch_size": batch, "devices": devices, "precision": precision}
    try:
        result = Engine.solve(model, hardware, **question, plan=plan, efficiency=efficiency)
    except UsageError:
        return  # a phase the model has not, a precision the device has not, a plan that does not divide the devices
    holds(result)
    falls(result)


@pytest.mark.parametrize(
    "name",
    ["decode", "decode on 8", "decode in turn", "prefill", "training with a plan", "training of experts", "phone"],
)
def test_fixed_times_are_the_overhead_of_the_answer(name):
    result = Engine.solve(**QUESTIONS[name])
    assert fixed(result.explain()) == pytest.approx(result.breakdown_s["overhead"], rel=1e-6)


def test_between_one_sequence_and_many_fixed_times_are_at_least_the_overhead():
    # A mean in logarithms of sums is at least the sum of such means.
    result = Engine.solve(**QUESTIONS["decode between one and many"])
    overhead = result.breakdown_s["overhead"]
    assert overhead <= fixed(result.explain()) < 1.05 * overhead


def fixed(b):
    return b.seconds("framework") + b.seconds("kernel_launch") + b.seconds("communication", "latency")


# By hand


def test_a_decode_step_by_hand():
    # Llama 3.1 8B on one H100 (989 TFLOP/s, 3.35 TB/s): 7.504 G weights in products, 2 B and 2 FLOPs each; 2,048 tokens
    # in the cache of 32 layers with 8 heads of 128 for keys and values, which 32 heads multiply.
    x, p, _ = numbers(DECODE)
    weights, cache = 2 * 7.504e9 / 3.35e12, 2048 * 32 * 2 * 8 * 128 * 2 / 3.35e12
    compute = (2 * 7.504e9 + 2048 * 32 * 4 * 32 * 128) / 989e12
    b = explained(**DECODE)
    assert b.ideal_s == pytest.approx(compute, rel=1e-3)
    assert b.seconds("memory_bound", "weights") == pytest.approx(weights - 2 * 7.504e9 / 989e12, rel=1e-3)
    assert b.seconds("memory_bound", "kv_cache") == pytest.approx(cache, rel=0.02)  # attention's FLOPs are hidden
    moved = p["activation.passes"] * 4096 * 32 / 3.35e12
    assert b.seconds("memory_bound", "activations") == pytest.approx(moved, rel=1e-6)
    assert b.seconds("kernel_launch") == pytest.approx(32 * p["overhead.layer"], rel=1e-6)
    assert b.seconds("framework", "step") == pytest.approx(p["overhead.step"], rel=1e-6)
    assert b.seconds("attention", "cache") == pytest.approx(x["cache_s"] / p["cache.fraction"] - cache, rel=0.05)
    assert b.about == "llama-3.1-8b decode on 1 x h100-sxm, bf16, batch 1"
    assert b.facts["eta_kind"] == "predicted"


def test_reading_below_the_bandwidth_is_software():
    x, p, _ = numbers(DECODE)
    below = x["weights_s"] / p["memory.fraction"] - x["weights_s"]
    assert explained(**DECODE).seconds("unattributed", "software") == pytest.approx(below, rel=0.1)


def test_what_is_moved_sums_to_the_traffic_of_the_roofline():
    for question in (DECODE, {**DECODE, "hardware": "h200"}, QUESTIONS["vision training"], TRAINING):
        basis = Engine.solve(**question).basis
        assert sum(moved(basis.scenario, basis.work).values()) == pytest.approx(basis.roof.traffic_bytes, rel=1e-12)
    found = moved(basis.scenario, basis.work)
    assert found["optimizer"] > found["weights"] > 0  # 26 B of states for each parameter against 6 B


def test_a_planned_bubble_by_hand():
    # 512 sequences over 128 / (8 x 4) = 4 replicas, one at once: 128 micro-batches through 4 stages leave 3/128 idle,
    # of which runs show a share. The optimizer's update stands outside.
    x, p, _ = numbers(TRAINING)
    _, busy = state(TRAINING, "pipeline_bubble", "waiting")
    busy -= x["update_s"] / p["memory.fraction"]
    b = explained(**TRAINING)
    assert b.seconds("pipeline_bubble") == pytest.approx(p["training.bubble"] * 3 / 128 * busy, rel=1e-9)
    assert b.purpose == "training"


def test_no_stages_no_bubble():
    b = explained(**{**TRAINING, "plan": "tp8"})
    assert b.seconds("pipeline_bubble") == 0
    assert "pipeline_bubble" not in {n.name for n in b.not_visible}


def test_the_bubble_of_a_stated_eta_is_the_plans():
    b = explained(**TRAINING, efficiency=0.4)
    idle = 3 / 128
    assert b.seconds("pipeline_bubble") == pytest.approx(b.measured_s * idle / (1 + idle), rel=1e-9)
    assert {c.name for c in b.causes} == {"compute", "pipeline_bubble", "unattributed"}


def test_a_planned_bubble_takes_no_more_than_what_is_beyond_the_floor():
    # One micro-batch through four stages would idle three quarters of the step; eta 0.9 leaves a tenth.
    b = explained(**{**TRAINING, "batch_size": 4}, efficiency=0.9)
    assert b.seconds("pipeline_bubble") == pytest.approx(0.1 * b.measured_s, rel=1e-9)
    assert b.seconds("unattributed") == 0


def test_devices_that_work_in_turn_idle_half_the_time():
    question = QUESTIONS["decode in turn"]
    before, after = state(question, "pipeline_bubble", "waiting")
    assert after == pytest.approx(before / 2, rel=1e-9)


def test_messages_of_a_decode_step_by_hand():
    question = QUESTIONS["decode on 8"]
    x, p, _ = numbers(question)
    b = explained(**question)
    assert b.seconds("communication", "transfer") == pytest.approx(x["link_s"] / p["link.fraction"], rel=1e-6)
    # Two all-reduces a layer, each three steps over 8 devices.
    assert b.seconds("communication", "latency") == pytest.approx(2 * 80 * 3 * p["link.latency"], rel=1e-6)


def test_messages_are_told_apart_by_what_they_are_for():
    lines = explained(**QUESTIONS["training in fp8"]).lines
    (told,) = (line for line in lines if line.startswith("messages that nothing hides: "))
    assert "tensor parallelism " in told


def test_waves_and_attention_of_a_prefill_by_hand():
    question = QUESTIONS["prefill"]
    x, p, _ = numbers(question)
    at_peak = x["attention_s"] / p["attention.eta"] - x["attention_s"]
    assert explained(**question).seconds("attention", "kernels") == pytest.approx(at_peak, rel=0.01)  # beside its cache
    before, after = state(question, "occupancy", "waves")
    whole = EQUATIONS["step"].seconds(x, p)
    without = EQUATIONS["step"].seconds(x, {**p, "gemm.waves": 0.0})
    assert before - after == pytest.approx(whole - without, rel=1e-9)


def test_weights_that_are_expanded_in_memory_by_hand():
    # llama.cpp writes and reads 16 bits for each weight that it expands: with products bound by traffic it would take
    # 4 B for each, so that the cause is at most that, once for each of 4 chunks of 512 tokens.
    question = QUESTIONS["prefill of narrow weights"]
    x, p, basis = numbers(question)
    values = values_of(prediction(basis.scenario, basis.setup).case, basis.scenario, basis.setup, basis.work)
    weights = sum(op.weight_bytes for op in basis.work.operators if op.kind == "matmul") / 1.008e12
    assert x["weights_s"] * values["share not expanded"] == pytest.approx(4 * weights, rel=1e-9)
    expanded = x["weights_s"] / p["memory.fraction"] - 4 * weights / p["memory.fraction"]
    assert 0.3 * expanded < explained(**question).seconds("quantization", "conversion") < expanded


def test_kernels_of_a_narrow_format_lose_what_those_of_16_bits_reach():
    levels = {"generation": "hopper", "precision": "fp8", "generation_precision": "hopper/fp8", "phase": "prefill"}
    narrow = known_parameters("step", tuple(levels.items()))["gemm.eta"]
    levels |= {"precision": "16", "generation_precision": "hopper/16"}
    wide = known_parameters("step", tuple(levels.items()))["gemm.eta"]
    assert narrow < wide
    b = explained(model="llama-3.1-8b", hardware="h100", precision="fp8")
    assert 0 < b.seconds("quantization", "kernels") < b.measured_s * (1 - narrow / wide)
    x, _, _ = numbers({"model": "llama-3.1-8b", "hardware": "h100", "precision": "fp8"})
    assert b.seconds("quantization", "kept wide") == pytest.approx(x["attention_s"] / 2, rel=0.01)  # half the peak
    assert explained(model="llama-3.1-8b", hardware="h100").seconds("quantization") == 0


def test_recomputed_activations_are_told_apart_from_software():
    # The forward pass is done again, a third of all work, but for the logits.
    with_it, without = (explained(**TRAINING, recompute=how) for how in ("full", "none"))
    (found,) = (c for c in with_it.causes if c.name == "unattributed")
    (again,) = (p for p in found.parts if p.name == "recomputation")
    assert again.kind == "derived"
    assert found.kind == "unattributed"
    assert again.seconds == pytest.approx(with_it.ideal_s / 3, rel=0.02)
    assert without.seconds("unattributed", "recomputation") == 0


def test_what_the_host_dispatches_for_a_network():
    question = QUESTIONS["vision"]
    x, p, _ = numbers(question)
    before, after = state(question, "framework", "dispatch")
    whole = EQUATIONS["networks"].seconds(x, {**p, "network.step": 0.0})
    assert before == pytest.approx(whole, rel=1e-9)
    assert after == pytest.approx(EQUATIONS["networks"].seconds(x, {**p, "network.step": 0.0, "launch": 0.0}), rel=1e-9)


def test_the_layers_of_a_microcontroller_by_hand():
    question = QUESTIONS["microcontroller"]
    x, p, _ = numbers(question)
    b = explained(**question)
    assert b.seconds("framework", "interpreter") == pytest.approx(
        p["mcu.scale"] * x["layers"] * p["mcu.layer"] / x["clock"], rel=1e-9
    )
    assert all("torch" not in w.what for w in b.suggestions())


# What is not claimed


def test_a_measured_eta_gives_only_what_follows_from_work_and_hardware():
    mine = calibrate(throughput="2100 tok/s", batch_size=32, precision="bf16", **DECODE)
    result = Engine.solve(**DECODE, batch_size=32, precision="bf16", efficiency=mine)
    b = holds(result)
    assert {c.name for c in b.causes} == {"compute", "memory_bound", "unattributed"}
    assert b.seconds("memory_bound") == pytest.approx(result.breakdown_s["memory"], rel=1e-12)
    why = {n.name: n.why for n in b.not_visible}
    assert why["framework"] == why["attention"] == "one block, software: eta was measured as one number"
    assert "By the calibrated eta a step takes" in " ".join(str(b).split())


def test_a_fixed_time_that_was_measured_stands_apart():
    question = {"model": "resnet-50", "hardware": "a100", "batch_size": 8, "precision": "fp16"}
    mine = calibrate(time_s=0.01, overhead_s=0.004, **question)
    b = holds(Engine.solve(**question, efficiency=mine))
    assert b.seconds("kernel_launch", "fixed") == pytest.approx(0.004, rel=1e-9)


@pytest.mark.parametrize("efficiency", [0.0036, 1.0])
def test_an_eta_at_its_ceiling_leaves_nothing_to_software(efficiency):
    b = explained(**DECODE, efficiency=efficiency)
    assert b.seconds("unattributed") == 0


def test_where_no_equation_answers_software_is_one_block():
    b = explained(**QUESTIONS["percentiles"])
    assert {c.name for c in b.causes} <= {"compute", "memory_bound", "kernel_launch", "unattributed"}
    assert "no equation answers for this device" in {n.name: n.why for n in b.not_visible}["occupancy"]


@of_all
def test_every_cause_is_told_or_said_not_to_be_or_nothing(question):
    b = explained(**question)
    silent = {n.name for n in b.not_visible}
    assert {"coalescing", "instruction_parallelism", "garbage_collection"} <= silent
    derived = {name for name, seen in visible("solve").items() if seen.kind == "derived"}
    assert {c.name for c in b.causes} - {"unattributed"} <= derived


def test_what_an_equation_has_no_term_for_is_said():
    why = {n.name: n.why for n in explained(**QUESTIONS["vision"]).not_visible}
    assert why["occupancy"] == "the equation of this kind of step has no term for it"


# How losses are taken off


def test_every_loss_is_of_numbers_that_its_equation_has():
    for question in QUESTIONS.values():
        result = Engine.solve(**question)
        found = prediction_of(result.basis)
        if found is None:
            continue
        name = found.case.equation
        values = run_of(result.basis, found).values[0]
        for loss in (*LOSSES[name], *ARITHMETIC.get(name, ())):
            assert set(loss.ideal(values)) <= set(values), loss
            assert loss.cause in causes()
        moved = [n for names in MOVED.get(name, {}).values() for n in names]
        pairs = [n for pair in OVERLAPPING.get(name, ()) for names in pair for n in names]
        assert {*moved, *pairs} <= set(values)


def test_numbers_and_parameters_never_share_a_name():
    for question in QUESTIONS.values():
        basis = Engine.solve(**question).basis
        found = prediction_of(basis)
        if found is None:
            continue
        case, p = found.case, known_parameters(found.case.equation, tuple(found.case.levels.items()))
        values = values_of(case, basis.scenario, basis.setup, basis.work)
        assert not set(case.x) & set(p)
        assert {k: values[k] for k in case.x} == case.x
        assert {k: values[k] for k in p} == dict(p)


def test_every_fixed_time_of_an_equation_is_taken_off_first():
    for name, losses in LOSSES.items():
        times = {n for n in EQUATIONS[name].NAMES if structure()[n].unit == "s"}
        probe = dict.fromkeys([*EQUATIONS[name].NAMES, "hops", "peak"], 1.0)
        gone = set()
        for loss in losses:
            if gone >= times:
                break
            gone |= set(loss.ideal(probe))
        assert gone == times


def test_constants_are_those_of_the_equations():
    assert pytest.approx(training._FUSED_BACKWARD) == _BACKWARD
    assert step._EXPANDED == _EXPANDED


def test_a_plan_without_stated_stages_is_the_equations_own():
    basis = Engine.solve(**QUESTIONS["training of experts"]).basis
    assert plan_of(basis.scenario, basis.setup).pp == 1
    assert explained(**QUESTIONS["training of experts"]).seconds("pipeline_bubble") == 0


# Where it is shown


def run(*arguments):
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, arguments, catch_exceptions=False)


def test_solve_explains_where_it_is_asked_to():
    plain, told = run("solve", "llama-3.1-8b", "h100"), run("solve", "llama-3.1-8b", "h100", "--explain")
    assert told.stdout.startswith(plain.stdout)
    assert "kernel_launch" in told.stdout.removeprefix(plain.stdout)
    assert "kernel_launch" not in plain.stdout


@pytest.mark.parametrize("given", [None, 0.3, "calibrated"])
def test_the_interval_of_the_time_is_that_of_the_answer(given):
    question = {**DECODE, "batch_size": 32, "precision": "bf16"}
    mine = calibrate(throughput="2100 tok/s", **question) if given == "calibrated" else given
    result = Engine.solve(**question, efficiency=mine)
    time = result.explain().facts["time_s"]
    assert time == pytest.approx(result.time_s._asdict(), rel=1e-9)


def test_a_bandwidth_that_is_not_known_is_no_infinite_one():
    said = " ".join(run("solve", "ds-cnn", "esp32", "--explain").stdout.split())
    assert "are moved, and no memory bandwidth is known: arithmetic alone sets the floor" in said
    assert "inf" not in said.split("ceiling:", 1)[1]


def test_data_hold_the_breakdown_where_it_is_asked_for():
    assert "explain" not in json.loads(run("solve", "llama-3.1-8b", "h100", "-o", "json").stdout)
    data = json.loads(run("solve", "llama-3.1-8b", "h100", "--explain", "-o", "json").stdout)
    assert sum(c["seconds"] for c in data["explain"]["causes"]) == data["time_s"]["value"]
    head, row = run("solve", "llama-3.1-8b", "h100", "--explain", "-o", "csv").stdout.splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["explain.compute"] == str(
        data["breakdown_s"]["compute"]
    )


def test_a_document_has_a_table_of_causes_beside_the_answer():
    shown = run("solve", "llama-3.1-8b", "h100", "--explain", "-o", "markdown").stdout
    assert shown.count("| --- |") + shown.count("| ---: |") >= 2
    assert "| kernel_launch" in shown


def test_a_result_that_no_solve_made_explains_nothing():
    assert replace(Engine.solve(**DECODE), basis=None).explain() is None


def test_nothing_is_worked_out_until_it_is_asked_for():
    code = (
        "import sys; from mlsysim import Engine; r = Engine.solve('llama-3.1-8b', 'h100');"
        "assert 'mlsysim.efficiency.derived' not in sys.modules; r.explain();"
        "assert 'mlsysim.efficiency.derived' in sys.modules; assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
