import threading

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

import mlsysim
from mlsysim import Engine
from mlsysim.calibration.live.marks import Marks, log_of
from mlsysim.calibration.live.run import measure
from mlsysim.errors import ImpossibleMeasurement, InvalidValue, Problems
from mlsysim.scenario import Scenario

QUESTION = {"phase": "training", "batch_size": 8, "seq_len": 1024, "precision": "bf16"}
TOKENS = 8 * 1024


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr("mlsysim.calibration.live.run.perf_counter", found)
    return found


def timed(clock, seconds, **question):
    with measure("gpt2", "h100", **{**QUESTION, **question}) as run:
        for took in seconds:
            clock.wait(took)
            run.step(tokens=TOKENS)
    return run


def test_the_public_name_is_the_context_manager():
    assert mlsysim.measure is measure


def test_eta_by_hand_and_back_to_the_measured_time(clock):
    c = timed(clock, [0.5, *[0.02] * 20]).calibration
    # 8,192 tokens in 20 ms, FLOPs a token as the ledger counts them, against the dense bf16 peak of one H100.
    assert c.throughput.value == pytest.approx(TOKENS / 0.02)
    assert c.efficiency.value == pytest.approx(TOKENS / 0.02 * c.flops_per_item / 989e12)
    assert c.flops_per_item == pytest.approx(6 * 124e6, rel=0.1)
    again = Engine.solve("gpt2", "h100", efficiency=c, **QUESTION, devices=1)
    assert again.time_s.value == pytest.approx(0.02)


def test_steps_without_a_count_are_steps_of_the_question(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for _ in range(8):
            clock.wait(0.02)
            run.step()
    assert run.log.readings[0].quantity == "time_s"
    assert run.calibration.time_s.value == pytest.approx(0.02)


def test_steps_of_varying_tokens_become_a_series_of_throughput(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for k in (1, 2, 3, 2, 1, 3, 2):
            clock.wait(0.02 * k)
            run.step(tokens=TOKENS * k)
    reading = run.log.readings[0]
    assert reading.quantity == "throughput"
    assert reading.values == pytest.approx([TOKENS / 0.02] * 7)
    assert reading.lines == (1, 2, 3, 4, 5, 6, 7)


def test_samples_of_a_language_model_are_its_sequences(clock):
    with measure("gpt2", "h100", phase="training", seq_len=512) as run:
        for _ in range(7):
            clock.wait(0.1)
            run.step(samples=4)
    reading = run.log.readings[0]
    assert reading.values[0] == pytest.approx(4 * 512 / 0.1)
    assert reading.conditions == {"batch_size": 4}
    assert run.calibration.scenario.batch_size == 4


def test_images_are_samples(clock):
    with measure("resnet-50", "h100", phase="training", precision="fp16") as run:
        for _ in range(7):
            clock.wait(0.1)
            run.step(samples=64)
    assert run.calibration.throughput.value == pytest.approx(640)
    assert run.calibration.scenario.batch_size == 64


def test_what_the_steps_hold_is_held_against_the_stated_batch(clock):
    c = timed(clock, [0.2] * 7, batch_size=2).calibration
    note = next(n for n in c.notes if n.code == "batch-differs")
    assert note.message.startswith("a step holds 8 sequences' worth, and the stated batch is 2: ")
    assert "batch-differs" not in {n.code for n in timed(clock, [0.2] * 7).calibration.notes}


def test_a_pause_is_of_the_next_step_and_set_apart(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for i in range(20):
            clock.wait(5.0 if i in {7, 8, 9, 12, 13, 14, 15, 16, 17, 18} else 0.02)
            run.step(tokens=TOKENS)
            if i + 1 in {7, 8, 9, 12, 13, 14, 15, 16, 17, 18}:
                run.pause("evaluation")
    assert set(run.log.readings[0].pauses) == {7, 8, 9, 12, 13, 14, 15, 16, 17, 18}
    assert run.calibration.throughput.value == pytest.approx(TOKENS / 0.02)  # of all 20, the median is a slow one


def test_calibrating_while_it_runs_is_set_apart(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for i in range(12):
            clock.wait(0.02)
            run.step(tokens=TOKENS)
            if i == 7:
                early = run.calibrate()
    assert early.throughput.value == pytest.approx(TOKENS / 0.02)
    assert run.log.readings[0].pauses == {8: "calibration"}


def test_calibrate_takes_changes_and_checks_them(clock):
    run = timed(clock, [0.04] * 8)
    assert run.calibrate(devices=2).efficiency.value == pytest.approx(run.calibration.efficiency.value / 2)
    with pytest.raises(InvalidValue) as caught:
        run.calibrate(devices=0)
    assert str(caught.value) == "devices must be a whole number of at least 1, got 0"


def test_an_exception_passes_through_and_what_was_measured_stays(clock):
    with pytest.raises(RuntimeError, match="out of memory"), measure("gpt2", "h100", **QUESTION) as run:  # noqa: PT012
        for _ in range(9):
            clock.wait(0.02)
            run.step(tokens=TOKENS)
        raise RuntimeError("out of memory")
    assert run.steps == 9
    assert run.calibration.throughput.value == pytest.approx(TOKENS / 0.02)


def test_what_physics_excludes_is_refused(clock):
    with pytest.raises(ImpossibleMeasurement, match=r"eta = .* is impossible"):
        _ = timed(clock, [1e-4] * 8).calibration


def test_too_few_steps_are_told(clock):
    with pytest.raises(InvalidValue) as caught:
        _ = timed(clock, [0.02] * 5).calibration
    assert str(caught.value) == (
        "run must be at least 6 steps, got 5; the first warms up, and fewer than 5 cannot bound a median at 90 %"
    )
    assert timed(clock, [0.02] * 6).calibration


def test_numbers_no_step_can_have_leave_it_out_and_are_told(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for count in [TOKENS] * 7 + [0, float("nan"), -3, "many", TOKENS]:
            clock.wait(0.02)
            run.step(tokens=count)
        clock.wait(0.02)
        run.step()
    log = run.log
    assert len(log.readings[0].values) == 8
    assert [tuple(part) for part in log.left_out] == [
        (8, "it states 0 tokens"),
        (9, "it states nan tokens"),
        (10, "it states -3 tokens"),
        (11, "it states 'many' tokens"),
        (13, "it states neither tokens nor samples, where the first step stated tokens"),
    ]


def test_where_nothing_can_be_used_the_first_reason_is_told(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for _ in range(8):
            run.step(tokens=0)
    with pytest.raises(InvalidValue) as caught:
        _ = run.calibration
    assert str(caught.value) == (
        "run must be at least 6 steps that can be used, got 0; 8 of 8 were left out; step 1: it states 0 tokens"
    )


def test_a_clock_that_stands_still_is_no_step(clock):
    with measure("gpt2", "h100", **QUESTION) as run:
        for i in range(9):
            clock.wait(0.0 if i == 4 else 0.02)
            run.step(tokens=TOKENS)
    assert [(part.line, part.reason) for part in run.log.left_out] == [(5, "it took 0 s")]


class Tensor:
    """A number on an accelerator: reading it waits for all that was asked of the accelerator before."""

    readable = False

    def __float__(self):
        assert self.readable, "read inside the loop"
        return float(TOKENS)


def test_a_tensor_is_not_waited_for(clock, monkeypatch):
    with measure("gpt2", "h100", **QUESTION) as run:
        for _ in range(7):
            clock.wait(0.02)
            run.step(tokens=Tensor())
    monkeypatch.setattr(Tensor, "readable", True)
    assert run.calibration.throughput.value == pytest.approx(TOKENS / 0.02)


def test_synchronize_is_called_before_each_mark(clock):
    with measure("gpt2", "h100", synchronize=lambda: clock.wait(0.01), **QUESTION) as run:
        start = clock.now
        for _ in range(7):
            clock.wait(0.02)
            run.step()
    assert clock.now - start == pytest.approx(7 * 0.03)
    assert run.log.readings[0].values == pytest.approx([0.03] * 7)


def test_mistakes_are_told_before_the_loop_has_cost_anything():
    with pytest.raises(Problems) as caught:
        measure("gpt5x", "h1000", phase="training", batch_size=0)
    assert len(caught.value.problems) == 3
    with pytest.raises(InvalidValue) as caught:
        measure("gpt2", "h100", synchronize=3)
    assert str(caught.value) == (
        "synchronize must be a function that waits for the accelerator, got 3;"
        " torch.cuda.synchronize, without parentheses"
    )


@pytest.mark.parametrize(
    ("model", "held", "message"),
    [
        ("gpt2", {"tokens": 5, "samples": 2}, "samples must be left out where tokens is given, got 2"),
        ("resnet-50", {"tokens": 5}, "tokens must be left out for resnet-50, got 5; it takes images: use samples"),
    ],
)
def test_the_first_step_says_what_steps_hold(model, held, message):
    with measure(model, "h100") as run, pytest.raises(InvalidValue) as caught:
        run.step(**held)
    assert str(caught.value) == message


def test_a_run_is_marked_inside_its_block_by_its_own_thread():
    run = measure("gpt2", "h100")
    caught = []

    def attempt(call, *arguments):
        try:
            call(*arguments)
        except InvalidValue as problem:
            caught.append(str(problem))

    attempt(run.step)
    with run:
        attempt(run.__enter__)
        attempt(run.pause, " ")
        for call in ((run.step,), (run.pause, "evaluation")):
            other = threading.Thread(target=attempt, args=call)
            other.start()
            other.join()
    attempt(run.step)
    attempt(run.pause, "evaluation")
    attempt(run.__enter__)
    inside = "called inside `with measure(...) as run:`"
    assert caught == [
        f"run.step must be {inside}, got 'a call before it'",
        "run must be opened once, got 'a second time'; call mlsysim.measure again for another run",
        "what must be a word for what happened, such as 'evaluation', got ' '",
        "run.step must be called from the thread that opened the run, got 'a call from another';"
        " open a run of its own in each thread",
        "run.pause must be called from the thread that opened the run, got 'a call from another';"
        " open a run of its own in each thread",
        f"run.step must be {inside}, got 'a call after it'",
        f"run.pause must be {inside}, got 'a call after it'",
        "run must be opened once, got 'a second time'; call mlsysim.measure again for another run",
    ]
    assert run.steps == 0


def test_runs_may_be_nested(clock):
    with measure("gpt2", "h100", **QUESTION) as outer:
        for _ in range(6):
            with measure("gpt2", "h100", phase="forward", batch_size=8, seq_len=1024) as inner:
                for _ in range(6):
                    clock.wait(0.01)
                    inner.step()
            outer.step()
    assert inner.calibration.time_s.value == pytest.approx(0.01)
    assert outer.calibration.time_s.value == pytest.approx(0.06)


def test_a_run_says_what_it_is(clock):
    run = timed(clock, [0.02] * 8)
    assert repr(run) == "<Run gpt2 training on 1 x h100-sxm: 8 steps, 160 ms>"


@given(
    st.lists(st.floats(1e-3, 10), min_size=6, max_size=40),
    st.integers(1, 10**6),
)
def test_throughput_times_time_is_what_the_steps_held(seconds, tokens):
    clocks = [0.0]
    for took in seconds:
        clocks.append(clocks[-1] + took)
    scenario = Scenario.of("gpt2", "h100", **QUESTION)
    reading = log_of(Marks(clocks, [tokens] * len(seconds), "tokens", {}, {}), scenario).readings[0]
    held = [rate * took for rate, took in zip(reading.values, seconds, strict=True)]
    assert held == pytest.approx([tokens] * len(seconds), rel=1e-6)
