"""``mlsysim check`` and ``mlsysim schema`` as a person meets them: verdicts, sentences, exit codes."""

import csv
import io

import jsonschema
import pytest

from mlsysim import Engine
from mlsysim.sweep.quantities import QUANTITIES

CHAT = 'model = "llama-3.1-8b"\nhardware = "h100"\nphase = "decode"\n'


@pytest.fixture
def plan(tmp_path):
    """Return what writes a scenario file."""

    def write(text, name="plan.toml"):
        (tmp_path / name).write_text(CHAT + text)
        return name

    return write


def test_what_holds_exits_with_0(run, plan):
    done = run("check", plan('name = "chat"\nassert = ["tpot_s < 50 ms", "weights_bytes < 20 GB"]'))
    assert done.code == 0
    assert done.err == "2 of 2 assertions hold\n"
    first, second = (line for line in done.out.splitlines() if line.startswith(" ok"))
    assert first.split()[:6] == ["ok", "chat", "tpot_s", "<", "50", "ms"]
    assert "weights_bytes 16.1 GB" in second


def test_what_fails_exits_with_3_and_says_by_how_much_and_where(run, plan):
    text = """
        efficiency = 0.002
        batch_size = [1, 2, 4]
        assert = [
            {that = "tpot_s < 10 ms and fits", why = "the contract says so"},
            "devices == 1",
        ]
        """
    done = run("check", plan(text))
    found = Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=4, efficiency=0.002).time_s.value
    assert done.code == 3
    beyond = f"{found / 0.01 - 1:.1%}"
    assert done.err == (
        f"FAILED plan: tpot_s < 10 ms and fits: tpot_s {found * 1e3:.3g} ms, {beyond} beyond its bound"
        " at batch_size 4; first at batch_size 2 (the contract says so)\n1 of 2 assertions hold\n"
    )
    assert "1 of 3" in done.out


def test_sure_demands_the_whole_interval(run, plan):
    answer = Engine.solve("llama-3.1-8b", "h100", phase="decode").time_s
    file = plan(f"assert = ['tpot_s < {(answer.value + answer.high) / 2!r}']")
    done = run("check", file)
    assert (done.code, done.err) == (0, "1 of 1 assertions hold\n")
    assert "ok, at the value alone" in done.out
    sure = run("check", file, "--sure", "-o", "json")
    assert sure.code == 3
    assert "holds at the value alone: tpot_s " in sure.err
    (verdict,) = sure.data
    assert (verdict["passed"], verdict["holds"], verdict["sure"]) == (False, True, False)
    assert verdict["findings"][0]["high"] == pytest.approx(answer.high)


def test_no_feasible_point_exits_with_1(run, plan):
    file = plan('[[scenario]]\nname = "big"\nmodel = "llama-3.1-405b"\nassert = ["tpot_s < 50 ms"]')
    done = run("check", file, "-o", "json")
    assert done.code == 1
    assert "FAILED big: tpot_s < 50 ms: no feasible point: does not fit in memory\n" in done.err
    assert done.data[0]["status"] == "no feasible point"
    failing = plan('assert = ["tpot_s < 1 ms"]', "fails.toml")
    assert run("check", file, failing).code == 3  # a failure is worse than an answer that there is none


def test_what_is_not_known_says_what_is_missing(run, plan):
    done = run("check", plan('assert = ["ttft_s < 1"]'))
    assert done.code == 3
    assert "FAILED plan: ttft_s < 1: ttft_s needs phase forward\n" in done.err


def test_mistakes_exit_with_2_and_those_of_all_files_are_told_at_once(run, plan):
    files = [plan('assert = ["tpot < 1"]', "a.toml"), plan('batchsize = 1\nassert = ["fits"]', "b.toml")]
    done = run("check", *files)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mlsysim: 2 problems:\n- unknown quantity in a.toml: assert[0]: 'tpot': did you mean")
    assert "unknown key in b.toml: 'batchsize': did you mean batch_size?" in done.err
    nothing = run("check", plan(""))
    assert nothing.code == 2
    assert "a file that asserts nothing would always pass" in nothing.err
    assert run("check").code == 2
    assert run("check", "none.toml").code == 2
    as_json = run("check", files[0], "-o", "json")
    assert as_json.data["error"]["code"] == "unknown-name"


def test_csv_has_a_row_an_assertion(run, plan):
    done = run("check", plan('assert = ["tpot_s < 50 ms", "fits"]'), "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["assertion"] for row in rows] == ["tpot_s < 50 ms", "fits"]
    assert rows[0]["status"] == "holds"


def test_many_points_are_asked_about_first(run, plan):
    text = 'batch_size = "1..1000000+1"\ncontext = "1..100000+1"\nefficiency = 0.001\nassert = ["fits"]'
    done = run("check", plan(text))  # standard input is empty: nobody says yes
    assert done.code != 0
    assert "100,000,000,000 points" in done.err


def test_schema_is_json_alone_and_a_schema(run):
    done = run("schema")
    assert (done.code, done.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(done.data)


def test_quantities_are_listed(run):
    done = run("schema", "--quantities", "-o", "json")
    assert [q["name"] for q in done.data] == list(QUANTITIES)
    assert next(q for q in done.data if q["name"] == "tpot_s")["unit"] == "s"
    assert "time per output token" in run("schema", "--quantities").out


def test_where_it_fails_is_told_in_numbers_and_words(run, plan):
    text = 'devices = [1, 2]\nbatch_size = [1, 2]\nprecision = "bf16"\nassert = ["devices < 2"]'
    (verdict,) = run("check", plan(text), "-o", "json").data
    assert verdict["at"] == {"devices": 2, "batch_size": 1}


def test_a_table_where_a_name_belongs(run, tmp_path):
    (tmp_path / "plan.json").write_text('{"model": "llama-3.1-8b", "hardware": {"a": 1}, "assert": "fits"}')
    done = run("check", "plan.json")
    assert done.code == 2
    assert done.err == "mlsysim: plan.json: hardware must be a text or a list of texts, got {'a': 1}\n"
