import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.calibration.live.arrivals import MOST_KINDS, Arrivals
from mlsysim.errors import InvalidValue


def fed(*lines):
    found = Arrivals()
    for clock, line in lines:
        found.line("stdout", line.encode(), clock)
    return found


@pytest.mark.parametrize(
    "line",
    [
        "step {}: loss 2.31",
        "2026-11-27 10:00:{:02d} INFO global_step={}",
        "iter {} loss 2.3 lr 6e-4",
        "Iteration [{}] loss 3",
        "{{'loss': 2.3, 'step': {}}}",
        "\x1b[32mstep: {} \x1b[0m loss: 7.9",
        "Epoch: [0][ {}/5005]  Time 0.2",
        "  5%|▌         | {}/100 [00:10<03:20,  2.11s/it]",
    ],
)
def test_counters_of_many_programs(line):
    count = line.count("{}") + line.count("{:02d}")
    lines = [(10 + 0.5 * i, line.format(*[i] * count)) for i in range(10)]
    assert fed(*lines).longest().times == pytest.approx([0.5] * 9)


def test_a_bar_that_grows_is_one_kind():
    lines = [(0.5 * i, f"{i:3}%|{'█' * i}{' ' * (9 - i)}| {i}/100 [00:0{i}<03:20,  2.11s/it]") for i in range(9)]
    assert fed(*lines).longest().times == pytest.approx([0.5] * 8)


def test_a_line_every_ten_steps_gives_the_time_of_one():
    found = fed(*[(3.0 * i, f"step {10 * i}") for i in range(8)]).longest()
    assert found.times == pytest.approx([0.3] * 7)
    assert found.counts == (10, 20, 30, 40, 50, 60, 70)


def test_lines_of_other_things_are_another_kind():
    lines = []
    for i in range(1, 9):
        lines += [(i, f"step {i} loss 2"), (i + 0.1, f"step {i} saved"), (i + 0.2, f"eval step {i % 3}"), (i, "text")]
    assert fed(*lines).longest().times == pytest.approx([1.0] * 7)


def test_lines_out_of_a_buffer_are_one_rise():
    lines = [(1.0 * chunk, f"step {10 * chunk + i}") for chunk in range(8) for i in range(10)]
    found = fed(*lines).longest()
    assert found.times == pytest.approx([0.1] * 7)
    assert found.counts == (19, 29, 39, 49, 59, 69, 79)


def test_a_counter_that_begins_again_gives_no_time_across_the_gap():
    lines = [(i, f"epoch 1 step {i}") for i in range(4)] + [(100 + i, f"epoch 2 step {i}") for i in range(4)]
    assert fed(*lines).longest().times == pytest.approx([1.0] * 6)


@pytest.mark.parametrize("line", ["loss 3.1", "batch size: 32", "see https://a.b/12/34", "max_steps=100", "in 2026/11"])
def test_what_is_no_counter(line):
    assert fed((0, line), (1, line)).longest().times == ()


def test_a_flood_of_kinds_is_bounded():
    found = Arrivals()
    for i in range(3 * MOST_KINDS):
        name = "".join(chr(97 + int(d)) for d in str(i))
        for step in range(2):
            found.line("stdout", f"{name} step {step}".encode(), float(step))
    assert len(found._kinds) == MOST_KINDS


def test_a_log_of_arrivals_says_how_it_was_got():
    log = fed(*[(0.5 * i, f"step {i}") for i in range(9)]).log()
    reading = log.readings[0]
    assert (log.format, reading.quantity, reading.steps) == ("times of arrival", "time_s", True)
    assert [n.code for n in log.notes] == ["times-of-arrival"]


@pytest.mark.parametrize("lines", [[], [(0.5 * i, f"step {i}") for i in range(6)]])
def test_too_few_lines_are_told(lines):
    with pytest.raises(InvalidValue) as caught:
        fed(*lines).log()
    assert str(caught.value) == (
        f"output must be at least 7 lines with a counter, got {len(lines)};"
        " such as 'step 12: ...', 'iter 12', or '12/100'; print one a step, or every few steps"
    )


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.floats(1e-3, 100))
def test_a_constant_pace_is_found_however_many_steps_a_line_tells(rises, pace):
    counts = [0]
    for rise in rises:
        counts.append(counts[-1] + rise)
    found = fed(*[(pace * n, f"step {n}") for n in counts]).longest()
    assert found.times == pytest.approx([pace] * len(rises), rel=1e-6)
