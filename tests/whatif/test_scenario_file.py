"""Scenario files: what they may say, the problems of a whole file at once, verdicts, and the schema for editors."""

import json
import pickle
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlsysim import Engine
from mlsysim.calibration import store
from mlsysim.calibration.calibrate import calibrate
from mlsysim.calibration.profile import Profile
from mlsysim.errors import InvalidValue, Problems, UnknownName
from mlsysim.sweep.grid import NUMBERS, WORDS
from mlsysim.sweep.quantities import QUANTITIES
from mlsysim.sweep.reduce import Pareto, Quantiles, Summary, Top
from mlsysim.whatif.assertions import ENDS, FALLS, FOLLOWS, Tally
from mlsysim.whatif.check import check
from mlsysim.whatif.file_tables import OWN
from mlsysim.whatif.scenario_file import read_scenarios
from mlsysim.whatif.schema import EXAMPLE, json_schema

PAGE = Path(__file__).parents[2] / "docs/scenarios.md"
LOGS = Path(__file__).parents[1] / "calibration/logs/files"
CHAT = """\
name = "chat"
model = "llama-3.1-8b"
hardware = "h100"
phase = "decode"
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLSYSIM_CONFIG_DIR", str(tmp_path / "user"))


def write(text, name="plan.toml"):
    Path(name).write_text(text)
    return Path(name)


def verdicts(asserted, rest="", head=CHAT):
    return check(write(f"{head}{rest}\nassert = {asserted}\n"))


def problems(text, name="plan.toml"):
    with pytest.raises((InvalidValue, UnknownName, Problems)) as caught:
        read_scenarios(write(text, name))
    return [str(p) for p in getattr(caught.value, "problems", [caught.value])]


# Reading


def test_the_same_file_in_three_forms():
    stated = {**tomllib.loads(CHAT), "batch_size": [1, 8], "assert": ["tpot_s < 50 ms"]}
    write(json.dumps({"$schema": "./mlsysim.schema.json", **stated}), "plan.json")
    write(json.dumps(stated), "plan.yaml")  # JSON is YAML
    write(CHAT + 'batch_size = [1, 8]\nassert = "tpot_s < 50 ms"\n')
    found = [read_scenarios(f"plan.{ending}") for ending in ("json", "yaml", "toml")]
    (one,), (two,), (three,) = (file.scenarios for file in found)
    assert one == two == three
    assert one.name == "chat"
    assert one.fields["batch_size"] == [1, 8]
    assert [str(a) for a in one.assertions] == ["tpot_s < 50 ms"]


def test_scenarios_share_what_stands_above_them_and_add_assertions():
    text = """\
        models = ["llama-3.1-8b", "llama-3.1-70b"]
        hardware = "h100"
        precision = "fp8"
        assert = "tpot_s < 1"
        phase = "decode"
        [[scenario]]
        name = "small"
        model = "llama-3.1-8b"
        assert = ["tpot_s < 0.5"]
        [[scenario]]
        hardware = ["h200", "b200"]
        description = "the next purchase"
        """
    small, other = read_scenarios(write(text)).scenarios
    assert (small.name, other.name) == ("small", "scenario[1]")
    assert small.fields == {"model": "llama-3.1-8b", "hardware": "h100", "precision": "fp8", "phase": "decode"}
    assert other.fields["model"] == ["llama-3.1-8b", "llama-3.1-70b"]
    assert other.fields["hardware"] == ["h200", "b200"]
    assert other.description == "the next purchase"
    assert [str(a) for a in small.assertions] == ["tpot_s < 1", "tpot_s < 0.5"]
    assert [str(a) for a in other.assertions] == ["tpot_s < 1"]
    assert (small.grid.points, other.grid.points) == (1, 4)


def test_a_section_sweeps_as_the_engine_does():
    (section,) = read_scenarios(
        write(CHAT + 'batch_size = "1..4*2"\ncontext = {from = 1024, to = 3072, step = 1024}\n')
    ).scenarios
    columns = section.sweep()
    assert columns.points == 9
    alone = Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=4, context=3072)
    assert columns["time_s"][-1] == alone.time_s.value


def test_reductions():
    text = """
        [[reduce]]
        top = 10
        by = "-throughput"
        where = "tpot_s < 50 ms"
        per = "hardware"
        [[reduce]]
        pareto = ["time_s", "cost_usd", "-throughput"]
        [[reduce]]
        quantiles = [0.1, 0.9]
        of = "time_s"
        [[reduce]]
        summary = ["time_s", "cost_usd"]
        per = ["hardware", "model"]
        """
    (section,) = read_scenarios(write(CHAT + text)).scenarios
    assert section.reduce == (
        Top(10, "throughput", largest=True, where="tpot_s < 50 ms", per=("hardware",)),
        Pareto(("time_s", "cost_usd", "-throughput")),
        Quantiles(("time_s",), (0.1, 0.9)),
        Summary(("time_s", "cost_usd"), ("hardware", "model")),
    )


def test_files_are_named_from_the_folder_of_the_scenario_file(tmp_path, monkeypatch):
    (tmp_path / "plans").mkdir()
    device = 'kind = "gpu"\nmemory = "48 GB"\nbandwidth = "960 GB/s"\n[peaks]\nbf16 = "210 TFLOP/s"\n'
    (tmp_path / "plans/mine.toml").write_text(device)
    small = "layers = 4\nhidden = 512\nheads = 8\nkv_heads = 8\nhead_dim = 64\nffn = 2048\nvocab = 32000\n"
    (tmp_path / "plans/small.toml").write_text(small)
    plan = write('model = "small.toml"\nhardware = ["mine.toml", "h100"]\n', "plans/plan.toml")
    (section,) = read_scenarios(plan).scenarios
    assert set(section.sweep()["hardware"]) == {"mine", "h100-sxm"}
    assert set(section.sweep()["model"]) == {"small"}


def test_eta_from_a_saved_calibration_and_from_a_log():
    measured = calibrate(model="llama-3.1-8b", hardware="h100", phase="decode", batch_size=32, throughput="2100 tok/s")
    store.save(Profile((measured,)), "mine", model="llama-3.1-8b", hardware="h100")
    (saved,) = verdicts("['throughput > 2000 tok/s']", 'batch_size = 32\nefficiency = {calibration = "mine"}')
    assert saved.findings[0].found == pytest.approx(2100)
    log = LOGS / "vllm_server.log"
    for stated in (f'"{log}"', f'{{log = "{log}"}}'):
        (read,) = verdicts(
            "['throughput > 900 tok/s']", f"batch_size = 8\ncontext = 1250\ndevices = 2\nefficiency = {stated}"
        )
        assert read.findings[0].found == pytest.approx(1001, rel=1e-3)  # as docs/calibration.md shows
    both = read_scenarios(write(CHAT + 'batch_size = 32\nefficiency = [0.01, {calibration = "mine"}, "predicted"]'))
    assert both.scenarios[0].grid.points == 3


SEVERAL = """\
model = "llama-3.1-8b"
hardware = ["h100", "l40s"]
phase = "decode"
batch_size = 8
context = 1250
devices = 2
"""


def test_a_log_says_of_which_device_it_is_where_several_are_asked():
    log = f'log = "{LOGS / "vllm_server.log"}"'
    read = read_scenarios(write(f'{SEVERAL}efficiency = {{{log}, hardware = "h100"}}'))
    found = read.scenarios[0].sweep()
    assert found["throughput"][0] == pytest.approx(1001, rel=1e-3)  # of the device that was measured, as measured
    assert found["throughput"][1] < found["throughput"][0]


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ("", "plan.toml: efficiency.hardware must be given, got None; several are asked about: say whose log it is, "),
        (', hardwre = "h100"', "unknown key in plan.toml: efficiency: 'hardwre': did you mean hardware? (known: log, "),
        (', hardware = "h1000"', "unknown hardware in plan.toml: efficiency: 'h1000': did you mean h100"),
        (", hardware = 3", "plan.toml: efficiency.hardware must be a text, got 3"),
        (', hardware = "h100", model = "gpt2"', "plan.toml: efficiency.model must be the one that the log is of ("),
    ],
)
def test_what_stands_beside_a_log_is_checked(beside, said):
    (found,) = problems(f'{SEVERAL}efficiency = {{log = "{LOGS / "vllm_server.log"}"{beside}}}')
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('{log = "none.log"}', "plan.toml: efficiency.log must be a file that can be read, got 'none.log'"),
        ("{log = 3}", "plan.toml: efficiency.log must be a text, got 3"),
        ('{calibration = "x", model = "gpt2"}', "unknown key in plan.toml: efficiency: 'model' (known: calibration)"),
    ],
)
def test_a_table_of_eta_is_checked(table, said):
    (found,) = problems(f"{SEVERAL}efficiency = {table}")
    assert found.startswith(said)


# Problems


def test_all_problems_of_a_file_are_told_at_once_with_their_places():
    text = """\
modle: llama
batch_size: true
assert: [{that: "x < 1", for: al}, {fr: all}, 3]
reduce: [{tops: 3}, 4]
scenario: [{context: 1.5, efficency: 3}, 3]
"""
    whole = "a whole number, a list of them, a range such as '1..256*2' or a table"
    starts = [
        f"plan.yaml: batch_size must be {whole}, got True",
        "plan.yaml: assert[0].for must be 'all', 'any', 'best' or a share such as 0.95, got 'al'",
        "plan.yaml: assert[1].that must be given, got None",
        "unknown key in plan.yaml: assert[1]: 'fr': did you mean for? (known: that, for, by, why)",
        "plan.yaml: assert[2] must be a table, or a condition, got 3",
        "unknown key in plan.yaml: reduce[0]: 'tops': did you mean top? (known: top, by, ",
        "plan.yaml: reduce[1] must be a table, got 4",
        f"plan.yaml: scenario[0].context must be {whole}, got 1.5",
        "unknown key in plan.yaml: scenario[0]: 'efficency': did you mean efficiency? (known: name, ",
        "plan.yaml: scenario[1] must be a table, got 3",
        "unknown key in plan.yaml: 'modle': did you mean model or models? (known: name, ",
        "plan.yaml: scenario[0].hardware must be given, got None",  # the model is what modle meant
        "unknown quantity in plan.yaml: assert[0].that: 'x' (",
        "plan.yaml: reduce[0].by must be given beside top, got None",
    ]
    found = problems(text, "plan.yaml")
    assert len(found) == len(starts)
    assert [said for said, start in zip(found, starts, strict=True) if not said.startswith(start)] == []


def test_what_values_mean_is_checked_too_and_told_with_its_place():
    text = """\
hardware: h100
batch_size: "8..1*2"
phase: decod
keep: [tme_s]
assert: ["tpot < 1", {that: "tpot_s < 50 GB"}, {that: "tpot_s < 1", for: best}, {that: "fits", for: 1.5},
         {that: "fits", by: time_s}, {that: fits, for: best, by: tim_s}]
reduce: [{top: 0, by: time_s}, {top: 1}, {pareto: [time_s, tim_s]}, {summary: time_s, by: x}, {}, {quantiles: [0.5]}]
scenario: [{name: a, model: llama-3.1-8c}, {name: a}, {model: llama-3.1-8b, hardware: hh100, models: gpt2}]
"""
    found = problems(text, "plan.yaml")
    starts = [
        "unknown quantity in plan.yaml: assert[0]: 'tpot': did you mean tpot_s?",
        "plan.yaml: assert[1].that must be a condition such as 'tpot_s < 50 ms and devices <= 8', got ",
        "plan.yaml: assert[3].for must be 'all', 'any', 'best' or a share in (0, 1], got 1.5",
        "plan.yaml: assert[4].by must be left out unless for is 'best', got 'time_s'; for is 'all'",
        "unknown quantity in plan.yaml: assert[5].by: 'tim_s': did you mean time_s",
        "unknown quantity in plan.yaml: keep: 'tme_s': did you mean time_s",
        "plan.yaml: reduce[0].top must be a whole number of at least 1, got 0",
        "plan.yaml: reduce[1].by must be given beside top, got None",
        "unknown quantity in plan.yaml: reduce[2].pareto: 'tim_s': did you mean time_s",
        "plan.yaml: reduce[3].by must be left out beside summary, got 'x'",
        "plan.yaml: reduce[4] must be a table with one of top, pareto, quantiles, summary, got {}",
        "plan.yaml: reduce[5].of must be given beside quantiles, got None",
        "plan.yaml: scenario[1].model must be given, got None",
        "plan.yaml: scenario[2].models must be left out beside model, got 'gpt2'",
        "plan.yaml: scenario[1].name must be unlike that of another scenario, got 'a'",
        "plan.yaml: batch_size must be a range that goes up, got '8..1*2'",
        "unknown phase in plan.yaml: 'decod': did you mean decode?",
        "unknown model in plan.yaml: scenario[0]: 'llama-3.1-8c': did you mean llama-3.1-8b",
        "unknown hardware in plan.yaml: scenario[2]: 'hh100': did you mean h100",
    ]
    assert [start for start in starts if not any(said.startswith(start) for said in found)] == []
    assert len(found) == len(starts)


def test_a_wrong_shape_hides_nothing_else():
    text = """\
contxt = 4
steps = 1.5
model = "llama-3.1-8b"
hardware = ["h100", "hh100", "a1000"]
precision = "fp7"
batch_size = "8..1*2"
assert = [
    {that = "tpot_s < 50 GB", for = 1.5, by = "foo"},
    {that = "tim_s < 50 ms", four = "any"},
    "usd_per_million < 3 EUR",
    "bound == memory",
    {tat = "fits"},
    {that = 3, for = 7},
]
reduce = [{top = 0, bye = "time_s", where = "tim_s < 1", per = "hardwre"}]
"""
    starts = [
        "plan.toml: steps must be a whole number, ",
        "plan.toml: assert[5].that must be a text, got 3",
        "unknown key in plan.toml: 'contxt': did you mean context?",
        "unknown key in plan.toml: assert[1]: 'four': did you mean for?",
        "unknown key in plan.toml: assert[4]: 'tat': did you mean that?",  # and not that it must be given
        "unknown key in plan.toml: reduce[0]: 'bye': did you mean by?",
        "plan.toml: assert[0].that must be a condition such as ",
        "plan.toml: assert[0].for must be 'all', 'any', 'best' or a share in (0, 1], got 1.5",
        "unknown quantity in plan.toml: assert[0].by: 'foo' (`mlsysim schema --quantities` lists all)",
        "unknown quantity in plan.toml: assert[1].that: 'tim_s': did you mean time_s",
        "plan.toml: assert[2] must be a condition with units such as ",
        "plan.toml: assert[3] must be a condition such as ",
        "plan.toml: assert[5].for must be 'all', 'any', 'best' or a share in (0, 1], got 7",
        "plan.toml: reduce[0].top must be a whole number of at least 1, got 0",
        "unknown quantity in plan.toml: reduce[0].where: 'tim_s': did you mean time_s",
        "unknown per in plan.toml: reduce[0]: 'hardwre': did you mean hardware?",
        "unknown hardware in plan.toml: 'hh100': did you mean h100",
        "unknown hardware in plan.toml: 'a1000': did you mean a100",
        "unknown precision in plan.toml: 'fp7': did you mean fp8",
        "plan.toml: batch_size must be a range that goes up, got '8..1*2'",
    ]
    found = problems(text)
    assert [start for start in starts if sum(said.startswith(start) for said in found) != 1] == []
    assert len(found) == len(starts)


def test_a_word_that_no_point_has_is_told_beside_other_slips():
    text = CHAT + "assert = [\"hardware == 'a100'\", 'tim_s < 1', {tat = 'fits'}]"
    assert [said.partition(":")[0] for said in problems(text)] == [
        "unknown key in plan.toml",
        "unknown quantity in plan.toml",
        "unknown hardware in \"hardware == 'a100'\"",
    ]


@pytest.mark.parametrize("name", [*WORDS, *NUMBERS, "efficiency", "quantiles", "draws"])
def test_a_field_of_a_wrong_shape_is_told_once(name):
    stated = {**tomllib.loads(CHAT), name: True, "assert": "fits"}
    assert [said.partition(" must")[0] for said in problems(json.dumps(stated), "plan.json")] == [f"plan.json: {name}"]


def test_what_all_share_is_checked_where_no_scenario_can_be_read():
    assert [said.partition(", got")[0] for said in problems('phase = "decod"\nscenario = 3\n')] == [
        "plan.toml: scenario must be a list of tables: [[scenario]]",
        "unknown phase in plan.toml: 'decod': did you mean decode? (known: forward, decode, training)",
    ]


def test_problems_of_the_question_are_told_at_the_table_that_has_the_field():
    text = """\
model: llama-3.1-8b
hardware: h100
batch_size: "8..1*2"
scenario: [{phase: decod}, {hardware: hh100}, {efficiency: {calibration: none}}]
"""
    assert sorted(said.partition(", got")[0].partition(" (")[0] for said in problems(text, "plan.yaml")) == [
        "plan.yaml: batch_size must be a range that goes up",
        "unknown calibration in plan.yaml: scenario[2]: 'none'",
        "unknown hardware in plan.yaml: scenario[1]: 'hh100': did you mean h100, v100 or p100?",
        "unknown phase in plan.yaml: scenario[0]: 'decod': did you mean decode?",
    ]


def test_a_word_that_no_point_has_is_a_slip():
    text = CHAT + "assert = [\"hardware != 'a100' or tpot_s < 1\", \"hardware == 'H100'\"]"
    assert problems(text) == [
        "unknown hardware in \"hardware != 'a100' or tpot_s < 1\": 'a100-sxm-80gb' (it is h100-sxm in this file)"
    ]
    reduce = 'reduce = [{top = 1, by = "time_s", where = "phase == \'prefill\'"}]\nassert = "fits"'
    assert problems(CHAT + reduce)[0].startswith("unknown phase in \"phase == 'prefill'\": 'forward'")
    several = f"{text}\n[[scenario]]\n[[scenario]]\nhardware = 'a100'"  # what one of them has, all may speak of
    assert len(read_scenarios(write(several)).scenarios) == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plan.txt", "", "scenario file must be one that ends with .toml, .yaml, .yml, .json, got 'plan.txt'"),
        ("plan.toml", "a = [", "scenario file must be a TOML file, got 'plan.toml'; "),
        ("plan.yaml", "- 1", "scenario file must be a file of fields, got 'plan.yaml'; it holds a list"),
        ("plan.json", "{", "scenario file must be a JSON file, got 'plan.json'; line 1: "),
    ],
)
def test_what_is_no_scenario_file_is_refused(name, text, said):
    (found,) = problems(text, name)
    assert found.startswith(said)


def test_what_is_null_is_left_out_and_an_empty_list_of_scenarios_is_refused():
    stated = {**tomllib.loads(CHAT), "context": None, "scenario": [{"batch_size": None}], "assert": None}
    (section,) = read_scenarios(write(json.dumps(stated), "plan.json")).scenarios
    assert section.fields == {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode"}
    assert problems(json.dumps({**stated, "scenario": []}), "plan.json") == [
        "plan.json: scenario must be a list of one table or more, got []"
    ]


def test_a_missing_file_is_told():
    with pytest.raises(InvalidValue, match=r"scenario file must be a file that can be read, got 'none.toml'"):
        read_scenarios("none.toml")


def test_a_file_that_asserts_nothing_does_not_pass():
    said = "plan.toml: assert must be given, one condition or more, got None; a file that asserts nothing would always"
    with pytest.raises(InvalidValue, match=said):
        check(write(CHAT))


# Verdicts


def test_a_verdict_says_what_was_found_and_by_how_much():
    (held,) = verdicts("['tpot_s < 50 ms']")
    answer = Engine.solve("llama-3.1-8b", "h100", phase="decode")
    assert (held.status, held.holds, held.sure, held.points, held.holding) == ("holds", True, True, 1, 1)
    (found,) = held.findings
    assert (found.of, found.sign, found.bound, found.unit) == ("tpot_s", "<", 0.05, "s")
    assert found.found == pytest.approx(answer.time_s.value, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((answer.time_s.low, answer.time_s.high), rel=1e-12)
    assert held.margin == pytest.approx(1 - answer.time_s.value / 0.05)
    assert (held.at, held.first) == ({}, None)


def test_values_by_hand():
    # Weights of 8.03e9 in two bytes; a step whose eta is stated takes FLOPs / (peak x eta): 989.4 TFLOP/s x 0.3 x 8.
    head = 'model = "llama-3.1-8b"\nhardware = "h100"\nefficiency = 0.3\ndevices = 8\nprecision = "bf16"\n'
    found = verdicts(
        "['16.0 GB < weights_bytes < 16.1 GB', 'capacity_bytes == 640 GB',"
        " 'abs(time_s * 8 * 989.4e12 * 0.3 / flops - 1) < 1e-3', 'efficiency == 30 %', 'bound == \"compute\"']",
        head=head,
    )
    assert [v.status for v in found] == ["holds"] * 5


def test_it_fails_where_the_bound_is_passed_by_most_and_says_where_first():
    answers = {b: Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=b, context=8192) for b in (1, 2, 4)}
    bound = answers[1].time_s.value * 1.0001
    (failed,) = verdicts(f"['tpot_s <= {bound!r}']", "batch_size = [1, 2, 4]\ncontext = 8192")
    assert (failed.status, failed.points, failed.holding) == ("fails", 3, 1)
    assert (failed.at, failed.first) == ({"batch_size": 4}, {"batch_size": 2})
    assert failed.margin == pytest.approx(1 - answers[4].time_s.value / bound)


def test_a_value_whose_interval_passes_the_bound_is_told_apart():
    answer = Engine.solve("llama-3.1-8b", "h100", phase="decode")
    between = (answer.time_s.value * answer.time_s.high) ** 0.5
    (alone,) = verdicts(f"['tpot_s < {between!r}']")
    assert (alone.status, alone.holds, alone.sure) == ("holds at the value alone", True, False)
    (sure,) = verdicts(f"['tpot_s < {answer.time_s.high * 1.001!r}']")
    assert sure.status == "holds"
    slow = answer.throughput.low
    assert verdicts(f"['throughput > {slow * 1.01!r}']")[0].status == "holds at the value alone"
    assert verdicts(f"['throughput > {slow * 0.99!r}']")[0].status == "holds"
    assert verdicts(f"['efficiency > {answer.efficiency.low * 1.01!r}']")[0].status == "holds at the value alone"
    (stated,) = verdicts(f"['tpot_s < {between!r}']", f"efficiency = {answer.efficiency.achieved!r}")
    assert stated.status == "holds"  # one number was stated, which has no interval


def test_all_any_best_and_a_share():
    rest = "batch_size = [1, 2, 4, 8]\nusd_per_hour = 2.0"
    solved = [Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=b) for b in (1, 2, 4, 8)]
    third = solved[2].throughput.value
    table = "[{{that = 'throughput >= {!r}', for = {}}}]".format
    assert verdicts(table(third, "'all'"), rest)[0].status == "fails"
    (some,) = verdicts(table(third, "'any'"), rest)
    assert (some.holds, some.holding, some.at) == (True, 2, {"batch_size": 8})
    assert verdicts(table(third, "0.5"), rest)[0].holds
    assert not verdicts(table(third, "0.51"), rest)[0].holds
    (nearest,) = verdicts(table(solved[3].throughput.value * 2, "'any'"), rest)
    assert (nearest.holds, nearest.at) == (False, {"batch_size": 8})
    assert nearest.margin == pytest.approx(-0.5)
    best = "[{that = 'batch_size == 8', for = 'best', by = 'usd_per_million'}]"
    assert verdicts(best, rest)[0].holds
    (slow,) = verdicts("[{that = 'batch_size == 8', for = 'best', by = 'tpot_s', why = 'as promised'}]", rest)
    assert (slow.holds, slow.at, slow.why) == (False, {"batch_size": 1}, "as promised")
    ranked = verdicts("[{that = 'batch_size == 8', for = 'best'}]", rest + "\nreduce = [{top = 1, by = '-throughput'}]")
    assert ranked[0].holds


def test_of_distributions_the_median_holds_and_the_quantiles_are_the_ends():
    # By hand: cost is price x time; the time of a stated eta is exact, so that its quantiles are those of the price.
    rest = "efficiency = 0.002\nusd_per_hour = {uniform = [2.0, 4.0]}\ncontext = 2048"
    seconds = Engine.solve("llama-3.1-8b", "h100", phase="decode", efficiency=0.002).time_s.value
    usd = seconds / 3600 * 1e6  # for a million tokens at 1 USD/h
    (held,) = verdicts(f"['usd_per_million < {3.2 * usd!r}']", rest)
    (found,) = held.findings
    assert (found.found, found.low, found.high) == pytest.approx(
        (3.0 * usd, 2.1 * usd, 3.9 * usd), rel=0.02
    )  # of 256 draws
    assert held.status == "holds at the value alone"
    assert verdicts(f"['usd_per_million < {3.95 * usd!r}']", rest)[0].status == "holds"
    assert verdicts(f"['usd_per_million < {2.9 * usd!r}']", rest)[0].status == "fails"
    level = f"['usd_per_million_p80 < {3.7 * usd!r}', 'usd_per_million_p80 < {3.5 * usd!r}']"  # 2 + 0.8 x 2 = 3.6
    assert [v.status for v in verdicts(level, rest)] == ["holds", "fails"]


def test_a_quantile_may_be_asked_of_what_is_predicted():
    answer = Engine.solve("llama-3.1-8b", "h100", phase="decode").time_s
    (late,) = verdicts("['tpot_s_p95 < 1']")
    assert late.findings[0].found == pytest.approx(answer.high, rel=0.05)  # 256 draws of the one that it depends on
    assert late.findings[0].unit == "s"
    (section,) = read_scenarios(write(CHAT + 'quantiles = [0.9]\ndraws = 64\nkeep = "tpot_s"')).scenarios
    assert "tpot_s_p90" in section.sweep()


def test_infeasible_points_are_left_out_and_counted():
    head = 'model = "llama-3.1-70b"\nhardware = ["h100", "b200"]\n'
    (held,) = verdicts("['memory_bytes < capacity_bytes']", head=head)
    assert (held.status, held.points, held.infeasible) == ("holds", 1, 1)
    (asked,) = verdicts("['fits']", head=head)  # what fits is asked of all points
    assert (asked.status, asked.points, asked.holding, asked.at) == ("fails", 2, 1, {"hardware": "h100-sxm"})
    (found,) = asked.findings
    assert (found.of, found.bound, found.holds) == ("memory_bytes", 80e9, False)
    assert found.found == pytest.approx(Engine.solve("llama-3.1-70b", "h100").memory.total)
    (none,) = verdicts("['tpot_s < 1']", head='model = "llama-3.1-405b"\nhardware = "h100"\nphase = "decode"\n')
    assert (none.status, none.points, none.infeasible) == ("no feasible point", 0, 1)
    assert none.reason == "does not fit in memory"


def test_what_is_not_known_does_not_hold():
    (ttft,) = verdicts("['ttft_s < 1']")  # a decode step has none
    assert (ttft.status, ttft.holds, ttft.unknown) == ("not known", False, 1)
    (either,) = verdicts("['ttft_s < 1 or tpot_s < 1']")
    assert either.status == "holds"


def test_fields_that_are_not_given_have_their_defaults():
    found = verdicts("['devices == 1', 'batch_size == 1 and context == 2048', 'precision == \"bf16\"']")
    assert [v.status for v in found] == ["holds"] * 3


def test_of_what_and_joins_the_part_that_fails_is_told():
    (failed,) = verdicts("['tpot_s < 50 ms and throughput > 1e9 and hardware == \"h100\"']")
    assert [f.of for f in failed.findings] == ["throughput"]
    (word,) = verdicts("['bound == \"compute\"']")
    (found,) = word.findings
    assert (found.of, found.found, found.bound) == ("bound", "memory", None)
    assert word.margin is None


def test_boxes_of_a_large_sweep_are_counted_together():
    # 4 devices x 300 x 200 points are several boxes; by hand: eta is stated, so time grows with FLOPs in both.
    rest = 'hardware = ["h100", "h200", "b200", "mi300x"]\nphase = "forward"\nefficiency = 0.4\n'
    head = f'model = "llama-3.1-8b"\n{rest}batch_size = "1..300+1"\nseq_len = "1..200+1"\n'
    (counted,) = verdicts("['batch_size * seq_len <= 30000']", head=head)
    assert (counted.points, counted.holding) == (
        240_000,
        4 * sum(b * s <= 30000 for b in range(1, 301) for s in range(1, 201)),
    )
    assert counted.at == {"hardware": "h100-sxm", "batch_size": 300, "seq_len": 200}
    assert counted.first["hardware"] == "h100-sxm"
    assert counted.margin == pytest.approx(-1.0)


@given(st.floats(0.004, 0.06), st.floats(0.05, 3.0), st.sampled_from([2**9, 2**11]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_those_of_the_columns(seconds, usd, context):
    text = f"""
        hardware = ["h100", "l40s", "a100"]
        model = ["llama-3.1-8b", "llama-3.1-70b"]
        phase = "decode"
        batch_size = [1, 4, 16, 64]
        context = {context}
        usd_per_hour = 3.0
        assert = ["tpot_s < {seconds!r} and usd_per_million < {usd!r}"]
        """
    file = read_scenarios(write(text))
    (verdict,) = check(file)
    columns = file.scenarios[0].sweep(
        keep=["tpot_s", "usd_per_million", "time_s", "time_high_s", "usd_per_million_high"]
    )
    ok, slow = columns["feasible"], columns["time_high_s"] / columns["time_s"]
    holds = ok & (columns["tpot_s"] < seconds) & (columns["usd_per_million"] < usd)
    sure = holds & (columns["tpot_s"] * slow < seconds) & (columns["usd_per_million_high"] < usd)
    assert (verdict.points, verdict.holding, verdict.infeasible) == (ok.sum(), holds.sum(), (~ok).sum())
    assert verdict.sure == (sure.sum() == ok.sum())
    assert verdict.holds == (holds.sum() == ok.sum())
    failing = ok & ~holds
    if failing.any():
        first = int(failing.argmax())
        assert verdict.first == {n: columns[n][first] for n in ("model", "hardware", "batch_size")}


def test_the_same_verdicts_by_several_workers():
    head = 'model = "llama-3.1-8b"\nhardware = ["h100", "b200"]\nphase = "decode"\n'
    text = head + 'batch_size = "1..256*2"\ncontext = "1..4096+1"\nassert = ["tpot_s < 20 ms", "throughput > 100"]'
    alone = check(write(text))
    with ThreadPoolExecutor(2) as pool:
        assert check(write(text), executor=pool) == alone
    tally = Tally(read_scenarios(write(text)).scenarios[0].assertions[0])
    assert pickle.loads(pickle.dumps(tally)) == tally


def test_every_quantity_is_known_to_move_with_an_interval_or_not_to():
    still = {
        *("time_low_s", "time_high_s", "throughput_low", "throughput_high", "efficiency_low", "efficiency_high"),
        *("efficiency_ceiling", "bound", "compute_s", "memory_s", "overhead_s", "flops", "traffic_bytes", "peak_flops"),
        *("energy_low_j", "energy_high_j", "cost_low_usd", "cost_high_usd"),
        *("usd_per_million_low", "usd_per_million_high", "power_w"),
    }
    sizes = {name for name in QUANTITIES if name.endswith("_bytes")}
    assert set(QUANTITIES) == still | sizes | set(FOLLOWS)
    assert {*FOLLOWS.values()} == {*ENDS}
    assert {*FALLS} <= {*FOLLOWS}


def test_ends_are_those_of_the_answer():
    # Those quantities that have columns for their ends are moved to just these.
    (section,) = read_scenarios(write(CHAT + "batch_size = 16\nusd_per_hour = 3.0")).scenarios
    columns = section.sweep()
    pairs = {
        "throughput": ("throughput_low", "throughput_high"),
        "efficiency": ("efficiency_low", "efficiency_high"),
        "usd_per_million": ("usd_per_million_low", "usd_per_million_high"),
        "energy_j": ("energy_low_j", "energy_high_j"),
    }
    for name, (low, high) in pairs.items():
        (verdict,) = verdicts(f"['{name} > 0']", "batch_size = 16\nusd_per_hour = 3.0")
        (found,) = verdict.findings
        assert (found.low, found.high) == pytest.approx((columns[low][0], columns[high][0]), rel=1e-9)


# The schema


@cache
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


GOOD = [
    dict(EXAMPLE),
    {"$schema": "./mlsysim.schema.json", "model": "gpt2"},
    {"model": "gpt2", "hardware": "t4", "efficiency": {"calibration": "mine"}},
    {"model": "my/config.json", "hardware": ["h100", "mine.toml"], "batch_size": {"from": 1, "to": 8, "factor": 2}},
    {"models": ["gpt2"], "hardware": "t4", "efficiency": {"low": 0.3, "high": 0.5}, "phase": ["decode", "training"]},
    {"context": {"uniform": [1000, 2000]}, "usd_per_hour": {"triangular": ["2 USD/h", 2.5, 4]}, "quantiles": [0.9]},
    {"hardware": "t4", "scenario": [{"model": "gpt2", "assert": "fits"}, {"model": "gpt2", "keep": "time_s"}]},
    {"reduce": {"pareto": ["time_s", "cost_usd"]}, "assert": [{"that": "fits", "for": 0.95}]},
]
BAD = [
    {"modle": "gpt2"},
    {"model": 3},
    {"phase": "decod"},
    {"batch_size": 1.5},
    {"batch_size": {"from": 1, "to": 8, "fctor": 2, "step": 1}},
    {"efficiency": {"normal": [0.4]}},
    {"efficiency": {"low": 0.4, "hihg": 0.5}},
    {"assert": [{"that": "fits", "for": "some"}]},
    {"assert": [{"for": "all"}]},
    {"reduce": [{"top": 1, "pareto": ["time_s", "cost_usd"]}]},
    {"keep": "tme_s"},
    {"scenario": [{"contxt": 1}]},
    {"scenario": {"context": 1}},
]


@pytest.mark.parametrize("document", GOOD, ids=json.dumps)
def test_the_schema_accepts_what_may_be_said(document):
    assert list(validator().iter_errors(document)) == []


@pytest.mark.parametrize("document", BAD, ids=json.dumps)
def test_the_schema_refuses_slips(document):
    assert not validator().is_valid(document)


def test_the_fields_of_a_file_are_those_of_a_sweep():
    assert {*json_schema()["properties"]} - {*OWN, "models"} == {*WORDS, *NUMBERS}


def test_the_example_of_the_schema_is_a_scenario_file():
    write(json.dumps(EXAMPLE), "plan.json")
    assert [v.scenario for v in check("plan.json")] == ["chat", "chat"]


def test_every_key_of_the_schema_is_described_and_offers_words_where_there_are_some():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for table in (schema, *(schema["$defs"][name] for name in ("SectionTable", "AssertionTable", "ReductionTable"))):
        assert table["additionalProperties"] is False
        assert [name for name, said in table["properties"].items() if not said.get("description")] == []
    assert "h100-sxm" in json.dumps(schema["properties"]["hardware"])
    assert schema["properties"]["phase"]["anyOf"][0]["enum"][:3] == ["forward", "decode", "training"]


# The page


def test_the_files_on_the_page_can_be_read_and_its_workflow_runs_commands_that_there_are():
    blocks = re.findall(r"^```(toml|yaml|json)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks] == ["yaml", "toml"]
    for kind, text in blocks:
        if "jobs:" not in text:
            assert read_scenarios(write(text, f"plan.{kind}")).scenarios
            continue
        steps = yaml.safe_load(text)["jobs"]["check"]["steps"]
        assert steps[-1]["run"] == "mlsysim check plans/*.toml"
