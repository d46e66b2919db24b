"""The causes of lost time: who tells of each, what each costs in published runs, and what may be tried."""

import importlib.util
import json
import math
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlsysim.cli.app import app
from mlsysim.efficiency.factors import EVIDENCE, KINDS, NOT_ISOLATED, SOURCES, causes, factor, factors, ranges, visible
from mlsysim.efficiency.remedies import EFFORT, remedies
from mlsysim.errors import UnknownName
from mlsysim.report.factors import factor_text

ROOT = Path(__file__).parents[2]
TWELVE = [
    "kernel_launch",
    "occupancy",
    "coalescing",
    "instruction_parallelism",
    "pipeline_bubble",
    "communication",
    "framework",
    "attention",
    "quantization",
    "data_loader",
    "garbage_collection",
    "os_driver",
]
BESIDE = ["compute", "memory_bound", "synchronisation", "unattributed"]
SILENT = ["coalescing", "instruction_parallelism", "data_loader", "garbage_collection", "os_driver"]
"""Those of the twelve that no published run isolates."""
PARTS = {
    "framework": {"dispatch", "python", "allocator"},
    "communication": {"transfer", "skew"},
    "data_loader": {"loading", "copies"},
    "occupancy": {"waves", "tiles", "warps"},
    "memory_bound": {
        "elementwise",
        "normalisation",
        "reduction",
        "optimizer",
        "embedding",
        "copies",
        "softmax",
        "other",
        "weights",
        "operands of products",
    },
    "kernel_launch": {"calls", "gaps"},
    "os_driver": {"driver"},
    "attention": {"scores written out", "fused kernels"},
}
"""The finer names that an attribution of time has for parts of a cause."""
named = pytest.mark.parametrize("name", [*TWELVE, *BESIDE])


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        spec = importlib.util.spec_from_file_location("factors_tool", ROOT / "tools/factors.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "tools"))


# What they are


def test_the_twelve_and_those_beside_them():
    assert [f.name for f in factors()] == TWELVE
    assert list(causes()) == [*TWELVE, *BESIDE]
    assert all(f.title and f.meaning and f.sign and f.mend for f in causes().values())


def test_any_spelling_finds_a_cause():
    assert factor("Kernel launch") is factor("kernel-launch") is factor("KERNEL_LAUNCH")
    with pytest.raises(UnknownName, match="unknown cause 'kernel_lanch': did you mean kernel_launch"):
        factor("kernel_lanch")


# Who tells of them


@named
def test_every_source_is_said_to_tell_of_it_or_not(name):
    assert list(factor(name).status) == list(SOURCES)
    assert all(seen.kind in KINDS and seen.how for seen in factor(name).status.values())


def test_what_needs_hardware_counters_is_told_by_no_source():
    for name in ("coalescing", "instruction_parallelism", "unattributed"):
        assert {seen.kind for seen in factor(name).status.values()} == {"unattributed"}


def test_what_a_source_tells():
    assert visible("pytorch")["occupancy"].kind == "derived"
    assert "est. achieved occupancy %" in visible("pytorch")["occupancy"].how
    assert visible("nsight")["os_driver"].kind == "observed"
    assert visible("pytorch-cpu")["kernel_launch"].kind == "observed"  # chains of short operators
    assert {name for name, seen in visible("solve").items() if seen.kind == "observed"} == set()  # nothing was measured
    with pytest.raises(UnknownName, match="unknown source 'nsigth': did you mean nsight"):
        visible("nsigth")


# What they cost


def test_the_table_is_what_the_tool_finds_in_the_evidence(tool):
    assert tool.table() == list(ranges())


def test_figures_are_in_order_and_say_what_they_rest_on():
    for r in ranges():
        known = [v for v in (r.low, r.median, r.high) if v is not None]
        assert known == sorted(known)
        assert r.kind in EVIDENCE
        assert r.of_what
        assert bool(known) == (r.kind != "none")
        assert r.unit == ("" if r.kind == "none" else r.unit)
        if r.unit == "1":
            assert all(-0.5 <= v <= 1.0 for v in known)  # what is said to save time may cost some


@named
def test_every_cause_has_a_range_or_says_that_the_evidence_isolates_none(name):
    kinds = {r.kind for r in factor(name).ranges}
    assert ("none" in kinds) == (not kinds & {"measured", "fitted"})


@pytest.mark.parametrize("name", SILENT)
def test_what_the_evidence_does_not_isolate_says_so_and_why(name):
    (said,) = [r for r in factor(name).ranges if r.kind == "none"]
    assert said.quantity == NOT_ISOLATED == "not isolated in the evidence"
    assert said.of_what


def test_what_is_cited_has_an_address_and_a_date():
    cited = [r for r in ranges() if r.kind == "cited"]
    assert len(cited) > 10
    for r in cited:
        assert re.match(r"https://\S+ \(.*\d{4}-\d{2}-\d{2}\)$", r.source), r


@pytest.mark.parametrize(
    ("run", "stages", "turns", "micro_batches"),
    [
        ("bloom-001", 12, 1, 2048 / 8 / 2),  # 2,048 sequences over 8 replicas, 2 at once
        ("nemo2407-010", 8, 12, 32 / 2 / 1),  # 32 over 2, one at once, each device 12 stages in turn
    ],
)
def test_a_bubble_by_hand(tool, run, stages, turns, micro_batches):
    m = next(m for m in tool.runs_of("training-dense") if m.id == run)
    idle = (stages - 1) / (micro_batches * turns)
    assert tool.bubble(m) == pytest.approx(idle / (1 + idle))


def test_percentiles_by_hand(tool):
    # Source a has one value and b four: each of b's weighs a quarter of a's. From below, b's first three reach 3/8 of
    # the weight and a's own value, 0.3, the half.
    values = [(0.3, "a"), (0.1, "b"), (0.2, "b"), (0.25, "b"), (0.9, "b")]
    found = tool.told("compute", "share", values, "1", "of", "measured")
    assert (found.low, found.median, found.high) == (0.1, 0.3, 0.9)
    assert (found.n, found.source) == (5, "a, b")


def test_pairs_differ_in_one_thing_alone(tool):
    runs = tool.runs_of("decode_b1")
    pairs = list(tool.alike(runs, "precision", lambda m: m.question.precision == "fp16", bool))
    assert len(pairs) > 100
    for a, b in pairs[::17]:
        assert a.question.precision != b.question.precision
        for same in ("source", "engine", "published"):
            assert getattr(a, same) == getattr(b, same)
        for same in ("model", "hardware", "devices", "batch_size", "context"):
            assert getattr(a.question, same) == getattr(b.question, same)


def test_a_parameter_that_runs_do_not_determine_is_not_told(tool):
    import factor_runs

    assert not factor_runs.determined("network.input")
    with pytest.raises(ValueError, match=r"network.input is not determined by measurements"):
        factor_runs.common("data_loader", "time", "network.input", "inputs")


def test_published_plans_leave_a_few_per_cent_idle():
    # Narayanan et al. 2021, section 2.2, hold the bubble of interleaved schedules to a few per cent at scale.
    (planned,) = [r for r in factor("pipeline_bubble").ranges if r.kind == "measured"]
    assert 0.01 < planned.median < 0.1


# What may be tried


def test_remedies_are_of_known_causes_and_parts():
    for r in remedies():
        assert r.cause in causes()
        assert not r.part or r.part in PARTS[r.cause]
        assert r.effort in EFFORT
        assert 0 <= r.remains_low <= r.remains_high <= 1
        assert r.applies in {"training", "serving", "any"}
        assert r.action
    assert len({r.key for r in remedies()}) == len(remedies())


def test_every_cause_has_a_remedy_but_what_is_not_known():
    assert {r.cause for r in remedies()} == set(causes()) - {"unattributed"}
    assert remedies("unattributed") == ()
    with pytest.raises(UnknownName, match="unknown cause 'garbage'"):
        remedies("garbage")


@named
def test_the_least_effort_comes_first_and_then_what_leaves_least(name):
    order = [(r.effort, r.remains_low + r.remains_high) for r in remedies(name)]
    assert order == sorted(order)
    assert {r.cause for r in remedies(name)} <= {name}


def test_shares_that_remain_are_cited_counted_or_recalled():
    for r in remedies():
        cited = re.search(r"https://", r.source) and re.search(r"\d{4}-\d{2}-\d{2}", r.source)
        assert cited or r.source.startswith(("recalled", "arithmetic: ", "evidence: ")) or "(recalled)" in r.source, r


def test_captured_graphs_leave_a_twelfth_by_hand():
    # pytorch.org, accelerating-generative-ai-2: 25.5 tok/s eager, 107.0 captured; Llama 7B has 6.74e9 parameters of 2
    # bytes, which an A100 of 2.04 TB/s reads in 6.6 ms.
    floor = 6.74e9 * 2 / 2.039e12
    left = (1 / 107.0 - floor) / (1 / 25.5 - floor)
    graphs = next(r for r in remedies("kernel_launch") if r.key == "cuda-graphs")
    assert graphs.remains_low == pytest.approx(left, abs=0.01)


# How they are shown


def run(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments, catch_exceptions=True)


def test_the_guide_shows_one_figure_of_each_and_then_all():
    shown = run("guide", "factors").stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 150  # addresses are not broken
    table = shown.split("A factor's name")[0]
    assert [name for name in TWELVE if f" {name} " not in table] == []
    assert re.search(r"pipeline_bubble +of a planned step +0\.93/3\.5/11 % +104 +measured", table)
    for text in (
        "not isolated in the evidence: no published run counts issue slots",
        "Mended by: ",
        "Told by: derived in ",
    ):
        assert text in shown


@named
def test_a_topic_shows_one_cause(name):
    shown = run("guide", name.replace("_", "-")).stdout
    assert shown.startswith(f"{name}\n  {factor(name).title}. ")
    assert ("What to try" in shown) == bool(remedies(name))
    assert shown.count("\n    - ") == len(factor(name).ranges) + len(remedies(name)) + len(SOURCES)


def test_data_hold_everything():
    (first, *rest) = json.loads(run("guide", "factors", "-o", "json").stdout)
    assert len(rest) == 11
    assert first["name"] == "kernel_launch"
    assert first["status"]["pytorch"]["kind"] == "observed"
    assert first["ranges"][-1]["source"] == "fitted: overhead.layer"
    assert first["remedies"][0]["effort"] == 1
    assert json.loads(run("guide", "kernel_launch", "-o", "json").stdout) == first


def test_documents_have_a_row_a_factor_and_tables_of_one():
    assert run("guide", "factors", "-o", "markdown").stdout.count("\n| ") == 13  # a rule and twelve, under the head
    assert run("guide", "occupancy", "-o", "markdown").stdout.count("| --- |") >= 3


def test_a_slip_of_the_keys_is_helped():
    missed = run("guide", "atention")
    assert str(missed.exception).startswith("unknown topic 'atention': did you mean attention or quantization?")


def test_lines_keep_to_their_width_but_for_addresses():
    for line in factor_text(factor("quantization"), 72, remedies("quantization")).splitlines():
        assert len(line) <= 72 or "https://" in line


def test_ranges_hold_what_is_known_of_the_shares_of_steps():
    for r in ranges():
        if r.quantity.startswith("share of a step") and r.kind == "fitted":
            assert 0 <= r.low <= r.high < 1
            assert math.isfinite(r.median)
