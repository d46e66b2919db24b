"""``mlsysim sweep`` as a person meets it: what its tables, its JSON and its exit codes say, and its sentences."""

import csv
import io
import json

import pytest
from conftest import output_of

from mlsysim import Engine

ONE = ("sweep", "--model", "llama-3.1-8b", "--on", "h100", "--phase", "decode")
TWO = """
model = "llama-3.1-8b"
hardware = "h100"
phase = "decode"
keep = ["time_s"]
[[scenario]]
name = "now"
batch_size = [1, 2]
[[scenario]]
name = "later"
context = 8192
quantiles = [0.1, 0.9]
"""


def test_points_are_those_of_single_answers(run):
    rows = run(*ONE, "--batch", "1..4*2", "-o", "json").data
    assert [row["batch_size"] for row in rows] == [1, 2, 4]
    for row in rows:
        alone = Engine.solve("llama-3.1-8b", "h100", phase="decode", batch_size=row["batch_size"])
        assert row["time_s"] == alone.time_s.value
        assert row["joules_per_item"] == pytest.approx(alone.joules_per_item.value, rel=1e-12)  # summed otherwise
        assert row["usd_per_million"] == pytest.approx(alone.usd_per_million.value, rel=1e-12)


def test_what_all_rows_share_is_in_the_title(run):
    on = ("--model", "llama-3.1-8b", "--on", "h100,b200", "--batch", "1,64")
    done = run("sweep", *on, "--phase", "decode", "--top", "1", "--by", "usd_per_million")
    assert done.code == 0
    assert done.out.splitlines()[0] == "least usd_per_million: llama-3.1-8b, h100-sxm, decode, batch size 64"
    assert done.err.endswith("of 4 points\n")


def test_the_same_rows_in_each_format(run):
    asked = (*ONE, "--batch", "1,2", "--keep", "time_s,bound")
    rows = run(*asked, "-o", "json").data
    written = run(*asked, "-o", "csv")
    assert "[defaults-used]" in written.err
    read = list(csv.DictReader(io.StringIO(written.out)))
    assert [float(row["time_s"]) for row in read] == [row["time_s"] for row in rows]
    assert [row["bound"] for row in read] == [row["bound"] for row in rows]
    assert run(*asked, "-o", "markdown").out.startswith("| batch size | time | bound by |\n| ---: | ---: | --- |\n")


@pytest.mark.parametrize("kept", [("--top", "2"), ("--pareto", "time_s,usd_per_million")])
def test_nothing_kept_is_an_answer(run, kept):
    done = run(*ONE, *kept, "--where", "time_s < 1 ns")
    assert done.code == 1
    assert "no feasible point meets the condition" in done.out
    assert run(*ONE, *kept, "--where", "time_s < 1 ns", "-o", "json").data == []


@pytest.mark.parametrize("kept", [("--summary", "time_s"), ("--quantiles-of", "time_s")])
def test_numbers_of_no_points_are_not_known(run, kept):
    done = run(*ONE, *kept, "--where", "time_s < 1 ns", "-o", "json")
    assert done.code == 1
    (row,) = done.data
    assert row.pop("quantity") == "time_s"
    assert row.pop("points") == 0
    assert set(row.values()) == {None}


def test_what_does_not_fit_is_told_and_exits_with_1(run):
    done = run("sweep", "--model", "llama-3.1-70b", "--on", "h100", "--keep", "time_s", "-o", "json")
    assert done.code == 1
    (row,) = done.data
    assert (row["time_s"], row["reason"]) == (None, "does not fit in memory")


def test_several_tables_are_one_document(run):
    found = run(*ONE, "--batch", "1..8*2", "--top", "1", "--summary", "time_s", "-o", "json").data
    assert [table["table"] for table in found] == ["least time_s", "summary"]
    assert found[1]["rows"][0]["points"] == 4


def test_scenarios_of_a_file_with_their_quantiles(run, tmp_path):
    (tmp_path / "two.toml").write_text(TWO)
    now, later = run("sweep", "two.toml", "-o", "json").data
    assert (now["table"], later["table"]) == ("now", "later")
    assert "time_s_p90" not in now["rows"][0]
    assert later["rows"][0]["time_s_p10"] < later["rows"][0]["time_s"] < later["rows"][0]["time_s_p90"]


@pytest.mark.parametrize("levels", ["10,90", "10%,90%", "0.1,0.9"])
def test_levels_are_shares_or_per_cent(run, levels):
    (row,) = run(*ONE, "--quantiles", levels, "--keep", "time_s", "-o", "json").data
    assert row["time_s_p10"] < row["time_s"] < row["time_s_p90"]


def test_a_folder_is_written_and_gone_on_in(run, tmp_path):
    assert run(*ONE, "--batch", "1..8", "--keep", "time_s", "--to", "points").err == "8 points in 1 file: points\n"
    assert run(*ONE, "--batch", "1..8", "--keep", "time_s", "--to", "points", "--resume").code == 0
    again = run(*ONE, "--batch", "1..9", "--keep", "time_s", "--to", "points", "--resume")
    assert again.code == 2
    assert "it holds another sweep" in again.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "- --model must be given, or a scenario file that holds it, got None"),
        (ONE[:3], "--hardware must be given, or a scenario file that holds it, got None"),
        ((*ONE, "--by", "time_s"), "--by must be given with --top, got 'time_s'"),
        (
            (*ONE, "--where", "fits"),
            "--where must be given with one of --top, --pareto, --summary, --quantiles-of, got 'fits'",
        ),
        (
            (*ONE, "--per", "hardware", "--pareto", "time_s,energy_j"),
            "--per must be given with one of --top, --summary, --quantiles-of, got 'hardware'",
        ),
        ((*ONE, "--resume"), "--resume must be given with --to, the folder to go on in, got True"),
        ((*ONE, "--quantiles", "5,x"), "--quantiles must be levels between 0 and 100 %, such as 10%,90%, got 'x'"),
        ((*ONE, "--quantiles", "5,150"), "--quantiles must be levels between 0 and 100 %, such as 10%,90%, got '150'"),
        (
            (*ONE, "--top", "1", "--summary", "time_s", "-o", "csv"),
            "--output must be another than csv for several tables, got 'csv'; there are 2",
        ),
        (
            ("sweep", "two.toml", "--to", "x"),
            "--to must be a folder for one sweep, got 'x'; the file has 2: now, later",
        ),
        ((*ONE, "--batch", "8..1"), "batch_size must be a range that goes up, got '8..1'; 1 to 8 is the same, upwards"),
    ],
)
def test_sentences(run, tmp_path, arguments, sentence):
    (tmp_path / "two.toml").write_text(TWO)
    done = run(*(arguments or ("sweep",)))
    assert done.code == 2
    assert sentence in done.err
    assert done.out == ""


def test_an_eta_above_the_ceiling_is_told(run):
    done = run(*ONE, "--efficiency", "0.5,0.002")
    told = (
        "[efficiency-above-ceiling] at 1 of 2 points eta is above the roofline ceiling; the answer there is the floor"
    )
    assert told in done.err
    assert "above-ceiling" not in run(*ONE, "--efficiency", "0.001,0.002").err


def test_a_node_is_called_by_its_name(run):
    on = ("--model", "llama-3.1-8b", "--on", "h100,dgx-h100", "--keep", "time_s")
    rows = run("sweep", *on, "-o", "json").data
    assert [row["hardware"] for row in rows] == ["h100-sxm", "dgx-h100"]
    eight = Engine.solve("llama-3.1-8b", "dgx-h100")
    assert rows[1]["time_s"] == eight.time_s.value


def test_where_a_table_is_too_wide_numbers_are_named(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert "\nbatch size: 1\n" in run(*ONE, "--batch", "1,8").out


def test_an_interrupted_folder_says_how_to_go_on(run, monkeypatch):
    from mlsysim.sweep import run as running

    monkeypatch.setattr(running, "ordered", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    done = run(*ONE, "--batch", "1..8", "--to", "points")
    assert done.code == 130
    assert "--resume goes on with it\n" in done.err


def test_the_grid_of_each_region_is_told(run):
    done = run(*ONE, "--region", "sweden,virginia", "--keep", "carbon_kg")
    assert [line.split()[1] for line in done.err.splitlines() if "footprint-taken" in line] == ["35.26", "539.599"]
    assert done.err.count("price-taken") == 1
    differ = (
        "[scopes-differ] carbon of these regions does not compare: it is life-cycle in sweden, direct in us-virginia"
    )
    assert differ in done.err
    assert "scopes-differ" not in run(*ONE, "--region", "sweden,france", "--keep", "carbon_kg").err


def test_what_is_not_uncertain_has_no_interval(run):
    done = run(*ONE, "--uncertain", "--efficiency", "0.001", "--usd-per-hour", "2", "--keep", "time_s,usd_per_million")
    assert " to " not in done.out
    assert "to" in run(*ONE, "--uncertain", "--efficiency", "0.001", "--keep", "usd_per_million").out


def test_on_takes_a_kind_of_device_as_choose_does():
    from mlsysim.hardware import Hardware

    got, code = output_of("mlsysim sweep --model resnet-50 --on tpu,h100 --precision bf16 --output json")
    assert code == 0
    rows = json.JSONDecoder().raw_decode(got)[0]
    tpus = [name for name in Hardware if Hardware[name].kind == "tpu"]
    assert [row["hardware"] for row in rows] == [*tpus, "h100-sxm"]
    got, code = output_of("mlsysim sweep --model resnet-50 --on gpu --top 3")
    assert code == 0
    assert got.count("[price-taken]") == 6
    assert "[price-taken] and " in got


def test_no_empty_table_where_nothing_meets_a_condition():
    got, code = output_of("mlsysim sweep --model resnet-50 --on h100 --top 3 --where 'time_s < 1 ns'")
    assert code == 1
    assert "no feasible point meets the condition" in got
    assert "throughput" not in got
    assert "──" not in got
    got, code = output_of("mlsysim choose resnet-50 --on h100 --where 'time_s < 1 ns'")
    assert code == 1
    assert "not h100-sxm: 1 x h100-sxm" in got
    assert "──" not in got
