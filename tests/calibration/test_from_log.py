"""Logs into eta: what is dropped, what is set apart, what is left out, and by what each kind of number is turned."""

from itertools import pairwise

import numpy as np
import pytest

from mlsysim import Models, calibrate
from mlsysim.calibration.from_log import calibrate_log
from mlsysim.calibration.logs import LeftOut, Log, Reading
from mlsysim.calibration.steady import Pause, steady_state
from mlsysim.errors import ImpossibleMeasurement, InvalidValue, Problems
from mlsysim.setup import Setup

TRAINING = {"model": "gpt2", "hardware": "a100", "phase": "training", "batch_size": 64, "seq_len": 1024}
DECODE = {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode", "batch_size": 32}
STEP = 1.0
"""A step of :data:`TRAINING` on one device [s]: eta 0.17."""


def log(*readings, **more):
    return Log("test", readings, **more)


def reading(values, quantity="time_s", phase="", **more):
    return Reading(phase, quantity, tuple(values), steps=more.pop("steps", True), **more)


def notes(calibration):
    return {note.code: note.message for note in calibration.notes}


def test_a_planted_warm_up_is_dropped_and_nothing_else():
    found = steady_state([5.0] * 10 + [1.0, 1.02] * 25)
    assert (found.dropped, found.kept, found.method) == (10, 50, "MSER-5 (White 1997)")
    assert found.pauses == ()
    assert found.step_s.value == pytest.approx(1.01)
    assert found.step_s.low >= 1.0
    assert found.step_s.high <= 1.02
    assert found.more == 150  # half of the interval takes four times the steps: 3 x kept further ones


def test_a_warm_up_by_a_third_is_found_in_noise():
    rng = np.random.default_rng(5)
    series = np.concatenate([np.full(15, 1.3), np.ones(85)]) * rng.normal(1.0, 0.01, 100)
    found = steady_state(series)
    assert found.dropped == 15
    assert found.step_s.value == pytest.approx(1.0, abs=0.005)


def test_of_few_steps_the_first_alone_is_dropped():
    found = steady_state([3.0, 1.1, 1.0, 1.2, 1.05, 1.15, 1.0])
    assert (found.dropped, found.kept) == (1, 6)
    assert found.method == "the first step, too few for MSER-5"
    assert found.step_s.value == pytest.approx((1.05 + 1.1) / 2)


def test_a_long_first_step_is_the_one_that_is_dropped_of_few():
    found = steady_state([1.3, 1.1, 1.0, 1.2, 1.05, 1.15, 1.0])
    assert (found.dropped, found.kept) == (1, 6)


def test_of_steps_that_differ_by_much_none_is_the_usual_one():
    found = steady_state([1.0, 1.0, 1.0, 9.0, 9.0, 1.0])
    assert (found.dropped, found.kept, found.pauses) == (1, 5, ())


def test_five_steps_are_all_kept():
    assert steady_state([1.0, 1.1, 1.2, 1.3, 1.4])[2:4] == (0, 5)


def test_four_steps_are_refused():
    with pytest.raises(InvalidValue, match="times must be at least 5 step times, got 4"):
        steady_state([1.0] * 4)


def test_pauses_are_set_apart_by_the_names_of_the_log_and_by_hand():
    # 40 steps of 1 s but for a checkpoint of 5 s and an evaluation of 3 s: 4 + 2 s beyond the usual, of 46 s in all.
    times = [1.0] * 40
    times[19], times[29] = 5.0, 3.0
    found = steady_state(times, {19: "checkpoint", 29: "evaluation"})
    assert found.pauses == (
        Pause("checkpoint", 1, 4.0, pytest.approx(4 / 46)),
        Pause("evaluation", 1, 2.0, pytest.approx(2 / 46)),
    )
    assert (found.kept, found.step_s) == (38, (1.0, 1.0, 1.0))


def test_a_name_on_a_step_as_short_as_others_sets_nothing_apart():
    found = steady_state([1.0] * 40, {7: "checkpoint"})
    assert (found.pauses, found.kept) == ((), 40)


def test_regular_pauses_are_named_by_their_distance():
    # Every tenth of 60 steps takes 3 s: 6 times 2 s beyond the usual, of 60 + 12 s.
    times = [3.0 if n % 10 == 9 else 1.0 for n in range(60)]
    assert steady_state(times).pauses == (Pause("every 10 steps", 6, 12.0, pytest.approx(12 / 72)),)


def test_a_first_step_that_compiles_hides_no_regular_pauses():
    times = [30.0] + [3.0 if n % 10 == 9 else 1.0 for n in range(1, 60)]
    found = steady_state(times)
    assert found.dropped == 1
    assert found.pauses == (Pause("every 10 steps", 6, 12.0, pytest.approx(12 / 71)),)


@pytest.mark.parametrize("at", [(5, 25), (5, 25, 30), (20, 21, 22)])
def test_other_pauses_are_irregular(at):
    times = [1.0] * 50
    for n in at:
        times[n] = 2.0
    share = len(at) / (50 + len(at))
    assert steady_state(times).pauses == (Pause("irregular", len(at), float(len(at)), pytest.approx(share)),)


def test_a_pause_within_the_warm_up_is_no_pause_of_the_steady_part():
    times = [4.0] * 10 + [1.0] * 50
    times[3] = 30.0
    found = steady_state(times, {3: "checkpoint"})
    assert found.dropped == 10
    assert found.pauses == ()


def test_steps_of_a_log_are_calibrated_on_their_steady_part():
    times = [5.0] * 10 + [STEP, STEP * 1.02] * 25
    times[30] = 4.0
    found = calibrate_log(log(reading(times, pauses={30: "checkpoint"}), setup=Setup("megatron", dp=1)), **TRAINING)
    c = found.main
    by_hand = calibrate(time_s=STEP * 1.02, **TRAINING)  # 25 of 1.02 and 24 of 1.0 are left: the median is 1.02
    assert c.efficiency.value == pytest.approx(by_hand.efficiency.value, rel=1e-12)
    assert c.setup == Setup("megatron", dp=1)
    data = c.to_dict()
    assert (data["format"], data["samples"]) == ("test", 60)
    state = data["steady_state"]
    assert (state["dropped"], state["kept"], state["more"]) == (10, 49, 147)
    assert state["block"] >= 1
    # Without the warm-up: 49 steps of 49.5 s in all (25 x 1.02 + 24), and the checkpoint's 4 s, 2.98 beyond usual.
    assert state["pauses"] == [
        {"what": "checkpoint", "steps": 1, "seconds": pytest.approx(2.98), "share": pytest.approx(2.98 / 53.5)}
    ]
    assert notes(c)["pauses-apart"] == "eta is that of the steps between; set apart: 1 x checkpoint (5.6% of the time)"


def test_a_short_run_says_how_many_more_steps():
    times = [1.0, 1.4, 0.8, 1.3, 0.9, 1.2, 1.1]
    c = calibrate_log(log(reading(times)), **TRAINING).main
    assert c.origin.steady.kept == 6
    told = notes(c)["run-too-short"]
    assert "from 6 steady steps, alike in blocks of 1: about 18 more steps would halve it" in told


def test_fewer_than_five_steps_are_repeats_and_say_so():
    c = calibrate_log(log(reading([1.0, 1.1, 1.2])), **TRAINING).main
    assert c.origin.steady is None
    assert c.to_dict()["steady_state"] is None
    assert notes(c)["run-too-short"] == "3 steps: fewer than 5 show neither a warm-up nor a steady part"
    assert c.time_s.value == pytest.approx((1.0 * 1.1 * 1.2) ** (1 / 3))


def test_steady_throughputs_are_told_as_times_of_steps():
    # 32 sequences a step: 2,000 tok/s are 16 ms a step; the one interval at 500 tok/s took 48 ms longer.
    rates = [2000.0] * 20 + [500.0] + [2000.0] * 19
    c = calibrate_log(log(reading(rates, "throughput", unit="tokens/s", pauses={20: "restart"})), **DECODE).main
    assert c.throughput.value == pytest.approx(2000)
    assert c.origin.steady.step_s.value == pytest.approx(0.016, rel=1e-12)
    (pause,) = c.origin.steady.pauses
    assert (pause.what, pause.seconds) == ("restart", pytest.approx(0.048))
    assert pause.share == pytest.approx(0.048 / (39 * 0.016 + 0.064))


def test_nan_steps_are_left_out_with_their_line(tmp_path):
    file = tmp_path / "steps.csv"
    rows = ["step,time_s", *(f"{n},{'nan' if n in {4, 9} else 1.0 + n % 3 / 100}" for n in range(1, 21))]
    file.write_text("\n".join(rows))
    c = calibrate_log(file, **TRAINING).main
    assert c.origin.samples == 18
    left = c.to_dict()["left_out"]
    assert [part["line"] for part in left] == [5, 10]
    assert all("nan" in part["reason"] for part in left)


def test_several_points_of_a_log_are_a_profile():
    points = (
        reading([900.0], "throughput", "decode", conditions={"batch_size": 8}, steps=False, label="8"),
        reading([1700.0, 1720.0], "throughput", "decode", conditions={"batch_size": 16}, steps=False, label="16"),
    )
    found = calibrate_log(log(*points, model="meta-llama/Llama-3.1-8B-Instruct", hardware="NVIDIA H100 80GB HBM3"))
    assert [c.scenario.batch_size for c in found] == [8, 16]
    assert [c.origin.label for c in found] == ["8", "16"]
    assert found.main.scenario.batch_size == 16  # it rests on more values
    assert found.main.scenario.model.name == "llama-3.1-8b"
    assert found.main.scenario.hardware.name == "h100-sxm"


def test_a_log_of_another_model_is_refused():
    known = log(reading([1.0]), model="meta-llama/Llama-3.1-70B")
    with pytest.raises(InvalidValue) as caught:
        calibrate_log(known, **{**TRAINING, "model": "llama-3.1-8b"})
    assert str(caught.value) == (
        "model must be the one that the log is of (meta-llama/Llama-3.1-70B), got 'llama-3.1-8b'; one of the two is a"
        " slip: a log of another model gives an eta of neither"
    )


def test_a_name_that_nobody_knows_must_be_told():
    unknown = log(reading([1.0]), model="our-own-7b")
    with pytest.raises(
        InvalidValue, match="model must be given, got None; the log calls it 'our-own-7b', which is not"
    ):
        calibrate_log(unknown, hardware="h100", phase="training")
    assert calibrate_log(unknown, **TRAINING).main.scenario.model.name == "gpt2"
    with pytest.raises(InvalidValue, match="hardware must be given, got None; the log calls it 'Abacus 9'"):
        calibrate_log(log(reading([1.0]), hardware="Abacus 9"), model="gpt2", phase="training")


@pytest.mark.parametrize("quantity", ["time_s", "throughput", "efficiency", "achieved_flops"])
def test_no_model_anywhere_is_said(quantity):
    with pytest.raises(InvalidValue, match=r"^model must be given, or flops_per_token in its place, got None; the log"):
        calibrate_log(log(reading([1.0], quantity, unit="samples/s")), hardware="h100")


def test_no_phase_anywhere_is_said_where_there_are_several():
    with pytest.raises(InvalidValue, match="phase must be given: forward, decode or training, got None; the log does"):
        calibrate_log(log(reading([1.0])), model="gpt2", hardware="h100")
    assert calibrate_log(log(reading([1.0])), model="resnet-50", hardware="h100").main.scenario.phase == "forward"


def test_an_impossible_point_among_possible_ones_is_left_out_with_its_reason():
    points = (
        reading([900.0], "throughput", "decode", conditions={"batch_size": 8}, lines=(3,), label="batch 8"),
        reading([90000.0], "throughput", "decode", conditions={"batch_size": 16}, lines=(7,), label="batch 16"),
    )
    known = log(*points, left_out=(LeftOut(2, "nothing is measured in it"),))
    found = calibrate_log(known, model="llama-3.1-8b", hardware="h100")
    assert [c.scenario.batch_size for c in found] == [8]
    first, second = found.main.origin.left_out
    assert first == (2, "nothing is measured in it")
    assert second.line == 7
    assert second.reason.startswith("batch 16: eta = 1.46")
    assert second.reason.endswith(
        "is impossible: achieved / peak cannot exceed 1, so the numbers contradict each other."
        " Likeliest: tokens of several devices, 64 for example, divided by the peak of fewer,"
        " which would give eta = 0.0229"
    )


def test_a_log_of_impossible_points_alone_raises_with_quantified_causes():
    points = [reading([60000.0], "throughput", "decode", conditions={"batch_size": b}) for b in (8, 16)]
    with pytest.raises(ImpossibleMeasurement) as caught:
        calibrate_log(log(*points), model="llama-3.1-8b", hardware="h100")
    assert caught.value.causes
    for cause in caught.value.causes:
        assert 0 < cause.efficiency <= 1
        assert f"{cause.message}: would give eta = {cause.efficiency:.3g}" in str(caught.value)
    assert len({cause.code for cause in caught.value.causes}) == len(caught.value.causes)


def test_the_rate_of_one_device_counts_for_all():
    one = reading([3000.0], "throughput", per_device=True, unit="tokens/s", steps=False)
    c = calibrate_log(log(one), **{**TRAINING, "devices": 8}).main
    assert c.throughput.value == pytest.approx(24000)
    assert c.efficiency == calibrate(throughput=24000.0, **{**TRAINING, "devices": 8}).efficiency
    said = one._replace(conditions={"devices": 4})
    assert calibrate_log(log(said), **TRAINING).main.throughput.value == pytest.approx(12000)


def test_samples_of_a_language_model_are_sequences():
    c = calibrate_log(log(reading([10.0], "throughput", unit="samples/s", steps=False)), **TRAINING).main
    assert c.throughput.value == pytest.approx(10 * 1024)
    assert c.unit == "tokens/s"
    images = {"model": "resnet-50", "hardware": "a100", "batch_size": 64}
    c = calibrate_log(log(reading([1000.0], "throughput", unit="samples/s", steps=False)), **images).main
    assert (c.throughput.value, c.unit) == (pytest.approx(1000), "images/s")


@pytest.mark.parametrize(("per_device", "eta"), [(False, 0.2 / 8), (True, 0.2)])
def test_achieved_flops_are_a_share_of_the_peak_they_were_counted_against(per_device, eta):
    # 312 TFLOP/s is the dense bf16 peak of one A100.
    one = reading([0.2 * 312e12], "achieved_flops", per_device=per_device, steps=False)
    assert calibrate_log(log(one), **{**TRAINING, "devices": 8}).main.efficiency.value == pytest.approx(eta, rel=1e-12)


def test_an_mfu_of_a_log_is_converted_by_its_own_convention():
    stated = {"efficiency": 0.371, "convention": "full-attention"}
    by_hand = calibrate(**stated, **TRAINING).efficiency.value
    one = reading([0.371], "efficiency", conditions={"convention": "full-attention"}, steps=False)
    assert calibrate_log(log(one), **TRAINING).main.efficiency.value == pytest.approx(by_hand, rel=1e-12)
    assert by_hand < 0.371


def test_what_is_stated_goes_before_what_is_logged_and_is_said():
    one = reading([STEP], phase="training", conditions={"batch_size": 32, "seq_len": 1024, "devices": 1})
    c = calibrate_log(log(one), **TRAINING).main
    assert c.scenario.batch_size == 64
    assert notes(c)["stated-over-log"] == "as stated, and not as logged: batch_size 64 (the log says 32)"
    silent = calibrate_log(log(one), model="gpt2", hardware="a100").main
    assert silent.scenario.batch_size == 32
    assert "stated-over-log" not in notes(silent)


def test_what_neither_says_is_taken_from_elsewhere_in_the_same_phase():
    home = {"phase": "training", "batch_size": 64, "seq_len": 512, "lora_rank": 8}
    one = reading([STEP], phase="training", conditions={"batch_size": 128})
    c = calibrate_log(log(one), home, model="gpt2", hardware="a100", seq_len=256).main
    assert (c.scenario.batch_size, c.scenario.seq_len, c.scenario.modifiers.trained.lora_rank) == (128, 256, 8)
    other = calibrate_log(log(one._replace(phase="forward")), home, model="gpt2", hardware="a100").main
    assert (other.scenario.phase, other.scenario.seq_len, other.scenario.modifiers.trained.lora_rank) == (
        "forward",
        1024,
        0,
    )


def test_stated_flops_answer_a_log_of_rates_alone():
    flops = {"flops_per_token": 1e12, "peak_flops": 1e15}
    for unit in ("tokens/s", "samples/s"):
        one = log(reading([100.0, 110.0], "throughput", unit=unit, steps=False))
        assert calibrate_log(one, **flops).main.efficiency.value == pytest.approx(0.1 * 1.1**0.5)
    for quantity, what in (("time_s", "times of steps"), ("achieved_flops", "FLOP/s")):
        with pytest.raises(InvalidValue) as caught:
            calibrate_log(log(reading([1.0], quantity)), **flops)
        assert str(caught.value) == (
            "flops_per_token must be left out, and model given, got 1000000000000.0; the log holds"
            f" {what}: how many tokens that is, the model says"
        )


def test_fields_that_contradict_a_log_are_all_told():
    one = log(reading([1.0e9], "achieved_flops"))
    with pytest.raises((Problems, InvalidValue), match="peak_flops must be left out where hardware is given, got 1"):
        calibrate_log(one, peak_flops=1, **TRAINING)


def test_every_batch_of_a_kind_gives_eta_in_order():
    """Eta is proportional to what was measured, whichever quantity says it."""
    etas = [calibrate_log(log(reading([r], "throughput", steps=False)), **DECODE).main for r in (500.0, 1000.0, 2000.0)]
    for a, b in pairwise(etas):
        assert b.efficiency.value == pytest.approx(2 * a.efficiency.value, rel=1e-12)


SHARED_OUT = {"model": "gpt2", "hardware": "a100", "devices": 8}


def of_tokens(tokens=491_520):
    """Return steps of a quarter of a second whose tokens are known, and not their sequences, as nanoGPT's."""
    return log(reading([tokens / 0.25] * 30, "throughput", "training", unit="tokens/s", tokens=tokens))


def test_the_batch_of_a_step_of_so_many_tokens_follows_from_the_length():
    found = calibrate_log(of_tokens(), **SHARED_OUT).main
    assert (found.scenario.batch_size, found.scenario.seq_len) == (480, 1024)
    assert found.time_s.value == pytest.approx(0.25)
    assert notes(found)["batch-unknown"] == (
        "a step is 491,520 tokens, taken as 480 sequences of 1,024: state seq_len where they were of another length"
    )
    stated = calibrate_log(of_tokens(), seq_len=512, **SHARED_OUT).main
    assert stated.scenario.batch_size == 960
    assert "batch-unknown" not in notes(stated)
    assert stated.throughput.value == pytest.approx(found.throughput.value)


def test_a_batch_that_is_stated_stays_and_one_that_cannot_be_known_is_told():
    assert calibrate_log(of_tokens(), batch_size=96, **SHARED_OUT).main.scenario.batch_size == 96
    uneven = calibrate_log(of_tokens(), seq_len=1000, **SHARED_OUT).main
    assert notes(uneven)["batch-unknown"] == (
        "a step is 491,520 tokens; of how many sequences nobody says: state batch_size and seq_len"
    )


def test_times_of_training_steps_without_a_batch_are_told_to_be_of_one_sequence():
    found = calibrate_log(log(reading([0.05] * 30, phase="training")), model="gpt2", hardware="a100").main
    assert notes(found)["batch-unknown"] == (
        "steps are timed, and nobody says of how many sequences: eta is as of one a step; state batch_size"
    )
    known = calibrate_log(log(reading([0.05] * 30, phase="training", conditions={"batch_size": 4})), **SHARED_OUT)
    assert "batch-unknown" not in notes(known.main)


@pytest.mark.parametrize(
    ("conditions", "was", "stated"),
    [({"context": 1088}, "decode", "training"), ({"seq_len": 512}, "forward", "decode")],
)
def test_sizes_of_one_phase_are_not_asked_of_another(conditions, was, stated):
    found = log(reading([0.05], phase=was, steps=False, conditions=conditions))
    with pytest.raises(InvalidValue) as caught:
        calibrate_log(found, model="llama-3.1-8b", hardware="h100", phase=stated)
    assert str(caught.value) == f"phase must be that of what was measured ({was}), got '{stated}'; leave it out"


def test_a_table_whose_column_of_the_model_is_not_known_says_which_columns_are_not(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("net,bs,time (ms)\nllama-3.1-8b,8,12\n")
    with pytest.raises(InvalidValue) as caught:
        calibrate_log(path, hardware="h100", phase="decode")
    assert str(caught.value) == (
        "model must be given, or flops_per_token in its place, got None;"
        " the log does not name it; not known, and not used: 'net'"
    )


def test_a_table_with_names_in_words(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("Model Name,GPU name,bs,ctx len,Latency(ms)\nllama-3.1-8b,h100,8,4096,12\n")
    found = calibrate_log(path, phase="decode").main.scenario
    assert (found.model.name, found.hardware.name) == ("llama-3.1-8b", "h100-sxm")
    assert (found.batch_size, found.context) == (8, 4096)


def test_megatron_says_its_devices_in_its_first_line_too(tmp_path):
    path = tmp_path / "run.log"
    line = " iteration {0:8d}/ 100 | elapsed time per iteration (ms): 72000.0 | global batch size:   512 | x |\n"
    path.write_text(
        "using world size: 64, data-parallel size: 2, context-parallel size: 1, tensor-model-parallel size: 8\n"
        "  seq_length ...................................... 8192\n" + "".join(line.format(i) for i in range(1, 12))
    )
    found = calibrate_log(path, model="llama-3.1-70b", hardware="h100").main
    assert found.scenario.devices == 64
    # 58,254 tokens/s x 449.2 GFLOP / (64 x 989 TFLOP/s)
    assert found.efficiency.value == pytest.approx(512 * 8192 / 72 * 449.226e9 / (64 * 989e12), rel=1e-4)


def test_a_training_in_two_parts_is_of_one_batch(tmp_path):
    step = "iter {0}: loss 3.4, time 250.00ms, mfu 40.00%\n"
    first, again = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text("tokens per iteration will be: 491,520\n" + "".join(step.format(i) for i in range(20)))
    again.write_text("".join(step.format(i) for i in range(15, 40)))
    found = list(calibrate_log([first, again], **SHARED_OUT))
    assert [c.scenario.batch_size for c in found] == [480, 480]
    assert [c.throughput.value for c in found] == [pytest.approx(1_966_080)] * 2


def test_a_trainer_state_that_breaks_off_still_tells_its_batch_from_its_tokens(tmp_path):
    path = tmp_path / "trainer_state.json"
    entry = '{{"step": {0}, "num_input_tokens_seen": {1}, "train_runtime": {2}}},'
    body = "".join(entry.format(i, i * 65_536, i * 0.5) for i in range(1, 30))
    path.write_text('{"log_history": [' + body + '{"step": 30, "num_inp')
    found = calibrate_log(path, model="llama-3.1-8b", hardware="h100", devices=8).main
    assert (found.scenario.batch_size, found.scenario.seq_len) == (32, 2048)
    assert found.time_s.value == pytest.approx(0.5)


def test_times_of_steps_of_so_many_tokens_are_a_rate_where_no_batch_is_stated():
    known = log(reading([0.25] * 30, phase="training", tokens=491_520))
    assert calibrate_log(known, **SHARED_OUT).main.throughput.value == pytest.approx(1_966_080)
    uneven = calibrate_log(known, seq_len=1000, **SHARED_OUT).main
    assert uneven.throughput.value == pytest.approx(1_966_080)  # whatever the sequences are
    stated = calibrate_log(known, batch_size=240, **SHARED_OUT).main
    assert stated.throughput.value == pytest.approx(1_966_080 / 2)  # what is stated goes first
    flops = calibrate_log(known, flops_per_token=8e8, peak_flops=8 * 312e12).main
    assert flops.efficiency.value == pytest.approx(1_966_080 * 8e8 / (8 * 312e12))


def test_a_model_as_a_spec_is_named_where_it_is_not_that_of_the_log():
    known = log(reading([0.05], phase="decode", steps=False), model="meta-llama/Llama-3.1-8B")
    with pytest.raises(InvalidValue) as caught:
        calibrate_log(known, model=Models.LLAMA_3_1_70B, hardware="h100")
    assert str(caught.value) == (
        "model must be the one that the log is of (meta-llama/Llama-3.1-8B), got 'llama-3.1-70b';"
        " one of the two is a slip: a log of another model gives an eta of neither"
    )
