"""A breakdown as text: figures that sum, bars that follow each other, and what is said of the rest."""

import re
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.efficiency.breakdowns import PARTS_MS, made, ranks, steps, with_every_cause, with_one_cause, without_ideal

from mlsysim.efficiency.bars import compared_text, text
from mlsysim.efficiency.breakdown import NotVisible, StepTime, ordered
from mlsysim.efficiency.columns import Column, axis_start, change_rows, of_shares, of_times, pieces, rows
from mlsysim.efficiency.comparison import compared
from mlsysim.efficiency.factors import causes
from mlsysim.results import Note

FIGURES = re.compile(r"^(\w+) +([\d,.]+)  +(-?[\d.]+)")


def table(said):
    """Return the figures of causes and of the total as decimals, by name."""
    lines = said.split("\n")
    found = [match for line in lines if (match := FIGURES.match(line))]
    return {m[1]: (Decimal(m[2].replace(",", "")), Decimal(m[3])) for m in found}


def every_breakdown():
    return [
        made(steps=steps(200, every=10), ranks=ranks(64, slow=17), devices=64, purpose="training"),
        without_ideal(steps=steps(3)),
        with_every_cause(),
        with_one_cause(),
    ]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("breakdown", every_breakdown(), ids=["steps", "no ideal", "every", "one"])
def test_what_is_shown_sums_to_what_is_shown_of_the_whole_and_fits(breakdown, width):
    said = text(breakdown, width)
    assert max(map(len, said.split("\n"))) <= width
    shown = table(said)
    time, share = shown.pop("predicted" if breakdown.source == "solve" else "measured")
    assert set(shown) == {c.name for c in breakdown.causes}
    assert sum(t for t, _ in shown.values()) == time
    assert sum(s for _, s in shown.values()) == share


def test_figures_of_a_step_of_412_ms():
    # By hand: 148 / 412 = 0.35922, and 44 / 412 = 0.1068. 71 / 412 = 0.17233 is shown a thousandth higher: to the next
    # thousandth the causes would sum to 0.640, and what is left of 1 is 0.641.
    said = text(made(), 100)
    shown = table(said)
    assert shown["measured"] == (Decimal("412.0"), Decimal("0.359"))
    assert shown["compute"] == (Decimal("148.0"), Decimal("1.000"))
    assert shown["attention"] == (Decimal("44.0"), Decimal("-0.107"))
    assert shown["memory_bound"] == (Decimal("71.0"), Decimal("-0.173"))
    assert "A step takes 412 ms. At the peak its FLOPs would take 148 ms: eta is 0.359." in said
    assert "The other 0.641 of the time is" in " ".join(said.split())
    assert re.search(r"^  elementwise +32\.0 +-0\.078$", said, re.M)
    assert not re.search(r"^  kernels", said, re.M), "the one part of attention says no more than attention"


def test_bars_follow_each_other_and_tell_kinds_without_colour():
    lines = [line for line in text(made(), 120).split("\n") if FIGURES.match(line)]
    spans = [(match.start(), match.end()) for line in lines[:-1] if (match := re.search("[█▓░]+", line))]
    assert len(spans) == len(lines) - 1
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert spans[-1][1] == lines[-1].rindex("═") + 1
    kinds = {line.split()[0]: line.split()[-1] for line in lines[:-1]}
    assert kinds["occupancy"] == kinds["compute"] == "derived"
    assert "█" in lines[0]
    assert "▓" in lines[1]
    assert "░" in lines[-2]


def test_without_an_ideal_it_says_how_eta_can_be_had():
    said = text(without_ideal(), 200)
    assert "Eta is not known: state --hardware and --model, with its batch size and precision, or record" in said
    assert "record_shapes=True" in said
    assert "known: state --model" in text(without_ideal(facts={"hardware": "h100-sxm", "flops": 0.0}), 200)
    only_the_device = text(without_ideal(facts={"hardware": None, "flops": 1e12}), 200)
    assert "Eta is not known: state --hardware, for the peak" in only_the_device
    assert "--model" not in only_the_device
    assert "Eta is not known: h100 has no peak in int3." in text(
        without_ideal(no_ideal="h100 has no peak in int3"), 200
    )
    assert table(said)["measured"] == (Decimal("412.0"), Decimal("100.0"))
    assert "record_shapes" not in text(with_one_cause(), 200), "a solved question records nothing"


def test_small_things_are_not_lost():
    parts = {("compute", "", "derived"): 0.061, ("memory_bound", "weights", "derived"): 18.4}
    shown = table(text(made(parts, 0.061)))
    assert shown["measured"] == (Decimal("18.46"), Decimal("0.00330"))


def test_what_to_try_says_effort_and_what_it_buys():
    said = text(made(purpose="training"), 200)
    assert "1. fused attention" in said
    # 10 to 33 % of attention usually remains: 44 ms less 14.5 or 4.4 ms.
    assert "takes a flag or an environment variable; saves 29.5 to 39.6 ms of attention/scores written out" in said
    assert "then a step takes 377 ms (372 to 383 ms), eta 0.392 (0.387 to 0.397); --try fused-attention\n" in said
    assert "saves 12.8 to 25.6 ms of memory_bound/elementwise (an estimate: no published figure)" in said
    assert "nothing that is known would save one per cent" in text(with_one_cause())


def test_what_is_not_visible_is_said_with_why_and_grouped():
    unseen = (
        NotVisible("framework", "one block"),
        NotVisible("coalescing", "no addresses"),
        NotVisible("attention", "one block"),
    )
    said = text(replace(with_one_cause(), not_visible=unseen), 120)
    assert "Not visible in a solved question" in said
    assert "- framework, attention: one block\n- coalescing: no addresses" in said
    assert "Not visible in this trace of the PyTorch profiler, on a GPU:" in text(made())


def test_slow_steps_are_told_by_what_is_larger_there():
    said = text(made(steps=steps(200, every=10)), 200)
    assert "the mean of 200 steps, 412 to 516 ms" in said
    assert (
        "Step 9 is the slowest: 516 ms, where the median is 412 ms. Larger there: garbage_collection by 104 ms." in said
    )
    assert "20 of 200 steps take more than 1.1 times the median (every 10th from 9 on)." in said
    assert "None of the 5 steps takes more than 1.1 times the median, 412 ms." in text(made(steps=steps(5)), 200)


def test_the_rank_that_others_wait_for_is_told():
    said = text(made(ranks=ranks(64, slow=17)), 200)
    assert "64 ranks, whose steps take 412 to 415 ms." in said
    assert "Rank 17, against the median rank: framework 20 ms more, communication 17 ms less." in said
    assert said.count("against the median rank") == 1
    assert "In none do the causes differ by more than 2%" in text(made(ranks=ranks(4, slow=9)), 200)


def two_ranks(**more_s):
    """Return a run on two ranks, of which the second takes more of some causes [s]."""
    one = ranks(1, slow=9)[0]
    other = {name: seconds + more_s.get(name, 0.0) for name, seconds in one.causes.items()}
    return text(made(ranks=(one, StepTime(1, sum(other.values()), other))), 200)


def test_two_ranks_are_held_against_each_other():
    said = two_ranks(communication=-0.030, framework=0.020, data_loader=0.010)
    late = "waits 30 ms less in communication than rank 0: it is the late one (framework 20 ms more, data_loader 10 ms"
    assert f"- Rank 1 {late} more)." in said
    assert "median" not in said
    assert "- Rank 0 waits 30 ms less in communication than rank 1: it is the late one." in two_ranks(
        communication=0.030
    )
    said = text(made(ranks=ranks(2, slow=1)), 200)
    assert "- Rank 1 waits 17 ms less in communication than rank 0: it is the late one (framework 20 ms more)." in said
    assert "- Rank 1, against rank 0: framework 20 ms more." in two_ranks(framework=0.020, communication=0.001)
    assert "Their causes differ by less than 2% of the time." in two_ranks(framework=0.001)


def test_a_piece_of_less_than_half_a_cell_has_none_of_its_own():
    # At 100 characters a bar has some 50 cells, each of 10 ms: 2 ms are a fifth of one, and 40 ms are four.
    parts = {("compute", "", "derived"): 100.0, ("kernel_launch", "", "observed"): 2.0}
    for derived_ms, blocks in ((2.0, set("▓")), (40.0, set("▓█"))):
        of_two = {("memory_bound", "a", "observed"): 398.0 - derived_ms, ("memory_bound", "b", "derived"): derived_ms}
        lines = text(made({**parts, **of_two}, 100.0), 100).split("\n")
        bar = next(line for line in lines if line.startswith("memory_bound"))
        assert set(bar) & set("▓█▏") == blocks
        assert "▏" in next(line for line in lines if line.startswith("kernel_launch"))


def test_work_that_takes_longer_than_the_ideal_is_lost_eta():
    # By hand: 100 of 400 ms are the ideal, 60 ms more were computed: 1 - 0.15 - 0.6 = 0.25.
    parts = {("compute", "at the peak", "derived"): 100.0, ("compute", "again", "observed"): 60.0}
    for more in ({}, {("compute", "again", "observed"): 160.0}):
        b = made({**parts, **more, ("attention", "", "observed"): 240.0}, 100.0)
        shown = rows(b)
        work, lost = shown.rows
        assert shown.share == round(100.0 / (1e3 * b.measured_s), shown.shares.decimals)
        assert work.share + lost.share == pytest.approx(shown.share, abs=1e-9)
        parts_shown = {p.part.name: p.share for p in work.parts}
        assert parts_shown["at the peak"] == 1.0
        assert sum(parts_shown.values()) == pytest.approx(work.share, abs=1e-9)
    assert rows(made({**parts, ("attention", "", "observed"): 240.0}, 100.0)).rows[0].share == 0.85
    assert "  again" in text(b)


def test_the_column_starts_at_one_where_no_time_was_work():
    shown = rows(made({("attention", "", "observed"): 10.0}, 0.0))
    assert [(row.cause.name, row.share) for row in shown.rows] == [("compute", 1.0), ("attention", -1.0)]
    assert shown.share == 0.0


@pytest.mark.parametrize(
    ("kind", "says", "total"),
    [
        ("predicted", "A step is predicted to take 412 ms (300 to 500 ms).", "predicted"),
        ("measured", "By the calibrated eta a step takes 412 ms (300 to 500 ms).", "calibrated"),
        ("assumed", "By the stated eta a step takes 412 ms (300 to 500 ms).", "stated"),
    ],
)
def test_a_solved_question_is_not_said_to_be_measured(kind, says, total):
    known = {"eta_kind": kind, "time_s": {"value": 0.412, "low": 0.3, "high": 0.5}}
    said = text(made(source="solve", facts=known), 200)
    assert says in said
    assert f"\n{total} " in said
    assert "measured" not in said
    assert f"These intervals leave out how uncertain the {total} time itself is." in said
    assert '.tried("fused-attention")' in said


def test_lines_are_told_and_notes_are_left_to_standard_error():
    b = made(lines=("a line of its own",), notes=(Note("code", "a note"),))
    assert "a line of its own" in str(b)
    assert "a note" not in str(b)


def changed(**new_ms):
    """Return the step by hand, in which some parts take other times."""
    parts = {key: new_ms.pop(f"{key[0]}_{key[1]}", ms) for key, ms in PARTS_MS.items()}
    return compared(made(), made(parts, about="the other run"))


@pytest.mark.parametrize("width", [80, 120])
def test_changes_sum_to_the_difference_and_the_largest_is_first(width):
    new = {"attention_scores written out": 9.0, "memory_bound_elementwise": 11.0, "data_loader_loading": 39.0}
    said = compared_text(changed(**new), width)
    assert max(map(len, said.split("\n"))) <= width
    cells = [re.split(r"  +", line.strip()) for line in said.split("\n") if re.search(r"[+-]?\d+\.\d$|[█░]", line)]
    shown = {c[0]: [Decimal(x) for x in c[1:4]] for c in cells if len(c) > 3}
    assert list(shown) == ["attention", "memory_bound", "elementwise", "data_loader", "the rest", "measured"]
    total, parts = shown.pop("measured"), shown.pop("elementwise")
    assert [sum(column) for column in zip(*shown.values(), strict=True)] == total == [412, 364, -48]
    assert parts == [32, 11, -21]
    assert "A step takes 48.0 ms less: 1.132 times as fast as before." in said
    assert "scale of the bars: left edge 356.0 ms, right edge 412.0 ms" in " ".join(said.split())


def test_a_change_has_the_same_digits_in_a_sentence_and_in_the_table():
    # 412.04 and 414.16 ms are shown as 412.0 and 414.2, and what is between them as 2.2.
    before = made({**PARTS_MS, ("os_driver", "", "observed"): 0.04})
    said = compared_text(compared(before, made({**PARTS_MS, ("os_driver", "", "observed"): 2.16})), 120)
    assert "before: llama-3.1-8b training on h100-sxm: 412.0 ms a step" in said
    assert "A step takes 2.2 ms more: 1.005 times as slow as before." in said
    assert re.search(r"^measured +412\.0 +414\.2 +\+2\.2$", said, re.M)


def test_nothing_changed():
    said = compared_text(compared(made(), made()))
    assert "A step takes as long as before." in said
    assert "█" not in said


def test_runs_that_are_not_alike_are_told():
    other = made({**PARTS_MS, ("compute", "", "derived"): 296.0}, 296.0)
    assert "The work is not the same: 148 ms at the peak before, 296 ms after." in compared_text(
        compared(made(), other), 200
    )
    half = compared_text(compared(made(), without_ideal()), 200)
    assert "The ideal is not known after, so its work is within unattributed." in half
    sources = compared_text(compared(made(), made(source="nsight")), 200)
    assert "The sources differ (pytorch, nsight)" in sources
    slower = compared_text(compared(made(), made({**PARTS_MS, ("os_driver", "", "observed"): 412.0})))
    assert "A step takes 412.0 ms more: 2 times as slow as before." in slower


@given(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=20), st.integers(0, 5))
def test_rounded_figures_sum_to_the_rounded_sum_and_none_is_a_digit_off(values, decimals):
    column = Column(1e-3, "ms", decimals)
    shown = column.rounded(values)
    assert round(sum(shown), decimals) == pytest.approx(round(sum(values) * 1e3, decimals), abs=1.1 * 10.0**-decimals)
    assert all(abs(s - 1e3 * v) <= 10.0**-decimals * (1 + 1e-9) + 1e-9 for s, v in zip(shown, values, strict=True))


def test_rounding_by_hand():
    # Three thirds of 1 are 0.33 each, and one of them gets the hundredth that is missing.
    assert sorted(Column(1.0, "", 2).rounded([1 / 3] * 3)) == [0.33, 0.33, 0.34]
    assert Column(1e-3, "ms", 1).rounded([0.0714, 0.0283], total=99.6) == [71.4, 28.2]


@pytest.mark.parametrize(
    ("longest", "unit", "decimals"),
    [
        (412e-3, "ms", 1),
        (41.2e-3, "ms", 2),
        (1.0, "s", 3),
        (99.996, "s", 1),
        (31e-6, "µs", 2),
        (5e-8, "ns", 2),
        (7200.0, "s", 0),
    ],
)
def test_times_have_four_digits(longest, unit, decimals):
    column = of_times(longest)
    assert (column.unit, column.decimals) == (unit, decimals)


def test_shares_have_the_decimals_that_eta_needs():
    assert [of_shares(eta).decimals for eta in (1.0, 0.359, 0.072, 0.0033, 0.00033)] == [3, 3, 4, 5, 6]
    assert of_shares(None).unit == "%"


def test_parts_sum_to_their_cause_and_small_ones_are_one():
    parts = {("pipeline_bubble", f"exchange {n}", "observed"): 10.0 + n for n in range(30)}
    row = rows(made({**PARTS_MS, **parts})).rows[1]
    assert row.cause.name == "pipeline_bubble"
    assert [p.part.name for p in row.parts] == [f"exchange {n}" for n in range(29, 24, -1)] + ["the rest"]
    assert round(sum(p.time for p in row.parts), 3) == row.time
    assert round(sum(p.share for p in row.parts), 3) == row.share


def test_pieces_are_by_kind():
    (cause,) = ordered({("occupancy", "a", "derived"): 1.0, ("occupancy", "b", "observed"): 2.0}, 3.0)
    assert pieces(cause) == [("observed", 2.0), ("derived", 1.0)]


def test_an_axis_starts_at_zero_unless_that_hides_the_changes():
    assert axis_start(340.0, 422.0) == 0.0
    assert axis_start(400.0, 412.0) == 380.0
    assert axis_start(400.0, 400.0) == 0.0


def test_every_cause_has_a_row_or_is_in_the_rest():
    b = with_every_cause()
    assert {row.cause.name for row in rows(b).rows} == set(causes())
    shown = change_rows(compared(made(), b))
    assert sum(row.change_s for row in shown.rows) == pytest.approx(b.measured_s - made().measured_s)
