"""The commands ``sensitivity`` and ``need``: what they print, and how they exit."""

import json
from pathlib import Path

import pytest
from conftest import output_of

STEP = "llama-3.1-8b h100 --batch 16"


def test_sensitivity_prints_rows_and_what_more_of_each_buys() -> None:
    got, code = output_of(f"mlsysim sensitivity {STEP} --of tpot_s")
    assert code == 0
    assert "elasticity" in got
    assert "10 % more HBM bandwidth buys " in got
    assert "more of these buys nothing: " in got
    assert "time per output token of a sequence, in decode" in got


def test_sensitivity_as_json_and_csv() -> None:
    got, _ = output_of(f"mlsysim sensitivity {STEP} --of tpot_s --change 5% -o json")
    data = json.loads(got[: got.rindex("}") + 1])
    assert data["change"] == 0.05
    assert {"input", "elasticity", "low", "high", "way"} <= set(data["rows"][0])
    got, _ = output_of(f"mlsysim sensitivity {STEP} --of tpot_s -o csv")
    assert got.startswith("input,title,unit,kind,value,elasticity,below,above,")


def test_sensitivity_writes_a_tornado_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "tornado.png"
    _, code = output_of(f"mlsysim sensitivity {STEP} --of usd_per_million --phase decode --plot {plot}")
    assert code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_need_prints_the_value_and_what_holds_there() -> None:
    got, code = output_of(f"mlsysim need bandwidth {STEP} --reach 'tpot_s <= 8 ms'")
    assert code == 0
    assert "this or more" in got
    assert "needed at the fast end of eta's interval" in got


def test_need_exits_with_1_where_no_value_does() -> None:
    got, code = output_of(f"mlsysim need eta {STEP} --reach 'tpot_s <= 2 ms'")
    assert code == 1
    assert "mlsysim: no eta reaches tpot_s <= 2 ms: the best is tpot_s = " in got


def test_a_need_as_json_says_why_none_does() -> None:
    got, code = output_of(f"mlsysim need eta {STEP} --reach 'tpot_s <= 2 ms' -o json")
    assert code == 1
    assert json.loads(got[: got.index("\n}") + 2])["error"]["code"] == "infeasible"


def test_slips_are_answered_with_the_nearest() -> None:
    got, code = output_of(f"mlsysim need bandwith {STEP} --reach 'tpot_s <= 8 ms'")
    assert code == 2
    assert "did you mean bandwidth" in got
    got, code = output_of(f"mlsysim sensitivity {STEP} --of usd_per_milion")
    assert code == 2
    assert "did you mean usd_per_million" in got


def test_a_training_run_by_its_tokens() -> None:
    got, code = output_of(
        "mlsysim need devices llama-3.1-8b h100 --batch 1024 --seq-len 4096 --tokens 1e12 --reach 'run_s <= 30 days'"
    )
    assert code == 0
    assert "there: time of a training run" in got


def test_what_does_not_fit_is_told_and_exits_with_1() -> None:
    got, code = output_of("mlsysim sensitivity llama-3.1-70b h100 --of tpot_s")
    assert code == 1
    assert "[does-not-fit]" in got
    assert "is not enough: nothing fits" in got


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("bandwidth {step} --reach 'tpot_s <= 8 ms'", "2.02 times as much is needed"),
        ("bandwidth {step} --reach 'tpot_s <= 20 ms'", "times as much is enough"),
        ("context {step} --reach 'tpot_s <= 20 ms'", "times as much is allowed"),
    ],
)
def test_need_says_how_far_the_question_is_from_its_goal(asked: str, said: str) -> None:
    got, code = output_of(f"mlsysim need {asked.format(step=STEP)}")
    assert code == 0
    assert said in got
    assert (" allowed at the fast end" in got) == ("allowed" in said)


def test_need_may_ask_what_fits() -> None:
    fits, code = output_of(f"mlsysim need context {STEP} --phase decode --reach fits -o json")
    room, _ = output_of(f"mlsysim need context {STEP} --phase decode --reach 'memory_bytes <= 80 GB' -o json")
    assert code == 0
    assert json.loads(fits[: fits.rindex("\n}") + 2])["value"] == json.loads(room[: room.rindex("\n}") + 2])["value"]


def test_no_number_of_devices() -> None:
    run = "--tokens 15e12 --batch 2048 --seq-len 4096"
    got, code = output_of(f"mlsysim need devices llama-3.1-8b h100 --reach 'run_s <= 1 h' {run}")
    assert code == 1
    assert "mlsysim: no number of devices reaches run_s <= 1 h: the best is run_s = " in got
