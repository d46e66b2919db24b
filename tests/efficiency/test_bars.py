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
from mlsysim.efficiency.breakdown import NotVisible, compared, ordered
from mlsysim.efficiency.columns import Column, axis_start, change_rows, of_shares, of_times, pieces, rows
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
    time, share = shown.pop("measured")
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
    assert "eta is not: state --model and --hardware" in said
    assert "record_shapes=True" in said
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
    assert "then a step takes 377 ms (372 to 383 ms), eta 0.392 (0.387 to 0.397)" in said
    assert "saves 12.8 to 25.6 ms of memory_bound/elementwise, by figures that are recalled, not published" in said
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
    assert "A step takes 48 ms less: 1.132 times as fast as before." in said


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
    assert "A step takes 412 ms more: 2 times as slow as before." in slower


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
    assert [of_shares(eta).decimals for eta in (0.359, 0.072, 0.0033)] == [3, 4, 5]
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
