"""The commands ``choose`` and ``cost``: what they print, and how they exit."""

import csv
import io
import json
from pathlib import Path

import pytest
from conftest import output_of

CHOOSE = "mlsysim choose llama-3.1-8b --on h100,b200,l40s,a30 --batch 1..64*8 --devices 1,2"


def test_choose_ranks_and_says_what_it_cannot_tell_apart():
    got, code = output_of(f"{CHOOSE} --where 'tpot_s < 50 ms' --rent specialist")
    assert code == 0
    assert "rent for a million tokens, images or samples: least of each hardware that meets tpot_s < 50 ms" in got
    assert "= cannot be told from 1 x h100-sxm, batch 64: the interval of the ratio holds 1" in got
    assert "not a30: no specialist price is known: state usd_per_hour" in got
    assert "[defaults-used]" in got


def test_choose_as_json_csv_and_markdown():
    got, _ = output_of(f"{CHOOSE} --phase decode -o json")
    data = json.loads(got[: got.rindex("\n}") + 2])
    assert {"options", "pairs", "front", "left", "by", "objectives"} <= set(data)
    assert data["pairs"][0]["ratio"].keys() == {"value", "low", "high"}
    got, _ = output_of(f"{CHOOSE} --phase decode -o csv")
    rows = list(csv.DictReader(io.StringIO(got[: got.index("[")])))
    assert [r["hardware"] for r in rows] == [o["hardware"] for o in data["options"]]
    assert float(rows[0]["usd_per_million.value"]) == data["options"][0]["usd_per_million"]["value"]
    got, _ = output_of(f"{CHOOSE} --phase decode -o markdown")
    assert got.startswith("| option | usd_per_million | times the best |")


def test_the_front_and_its_plot(tmp_path: Path):
    pytest.importorskip("matplotlib")
    got, code = output_of(f"{CHOOSE} --phase decode --front --plot {tmp_path / 'front.png'}")
    assert code == 0
    assert "options that no other beats in all of least time_s, most throughput" in got
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    got, code = output_of(f"{CHOOSE} --plot {tmp_path / 'front.doc'}")
    assert code == 2
    assert "plot must be a file that ends with .png, .svg or .pdf" in got


def test_the_points_of_a_plot_are_joined_where_no_other_beats_them():
    from mlsysim.report.pareto import dots_of
    from mlsysim.whatif.choose import choose

    found = choose("llama-3.1-8b", "h100,b200", phase="decode", batch_size=[1, 8], usd_per_hour=3)
    dots = dots_of(found, "time_s", "usd_per_million")
    for d in dots:
        beaten = any(
            o.x.value <= d.x.value and o.y.value <= d.y.value and (o.x.value, o.y.value) != (d.x.value, d.y.value)
            for o in dots
        )
        assert d.joined != beaten
    assert len(dots) == len({d.label for d in dots})


def test_nothing_meets_the_condition():
    got, code = output_of(f"{CHOOSE} --where 'tpot_s < 1 ms'")
    assert code == 1
    assert "mlsysim: nothing meets tpot_s < 1 ms: the nearest is 2 x b200, batch 1: tpot_s = 3." in got
    got, code = output_of(f"{CHOOSE} --where 'tpot_s < 1 ms' -o json")
    assert code == 1
    assert json.loads(got[: got.rindex("\n}") + 2])["options"] == []


def test_prices_of_ones_own():
    got, code = output_of(f"{CHOOSE} --phase decode --price h100=2 --price b200=9 -o json")
    assert code == 0
    data = json.loads(got[: got.rindex("\n}") + 2])
    assert {o["hardware"]: o["usd_per_device_hour"]["value"] for o in data["options"]}["b200"] == 9
    got, code = output_of(f"{CHOOSE} --price 2 --price 3")
    assert code == 2
    assert "price must be one for all devices, or DEVICE=PRICE for each, got '2 3'" in got
    got, code = output_of("mlsysim choose llama-3.1-8b --on h100,b200 --price 2.5 --phase decode -o csv")
    assert code == 0


def test_a_training_run():
    got, code = output_of(
        "mlsysim choose llama-3.1-8b --on h100,b200 --tokens 1e12 --by run_usd --where 'run_s < 60 days'"
        " --devices 64,256 --batch 1024 --seq-len 4096 --pareto run_s,run_usd"
    )
    assert code == 0
    assert "rent of the devices for a training run: least of each hardware that meets run_s < 60 days" in got


def test_slips_of_choose():
    got, code = output_of(f"{CHOOSE} --by usd_per_milion")
    assert code == 2
    assert "did you mean usd_per_million" in got
    got, code = output_of("mlsysim choose llama-3.1-8b --on h1000")
    assert code == 2
    got, code = output_of("mlsysim chose llama-3.1-8b")
    assert code == 2
    assert "Did you mean choose" in got


COST = "mlsysim cost h100 --region virginia --utilisation 0.7"


def test_cost_prints_rent_ownership_and_where_they_meet():
    got, code = output_of(f"{COST} --devices 8")
    assert code == 0
    assert "an hour of use of 8 x h100-sxm in Virginia" in got
    for row in ("rent, specialist", "owned", "capital", "owning beats specialist from", "carbon, embodied", "water"):
        assert row in got
    assert "recalled or assumed: discount_rate, residual_share, maintenance_share" in got


def test_cost_lists_every_assumption_with_its_source():
    got, code = output_of(f"{COST} --assumptions -o json")
    assert code == 0
    rows = json.loads(got)
    assert {"years", "purchase", "power_w", "electricity", "rent, spot", "carbon_intensity"} <= {
        r["assumption"] for r in rows
    }
    assert all(r["source"] for r in rows)
    got, _ = output_of(f"{COST} --assumptions")
    assert "source: recalled (Barroso" in got


def test_cost_as_data():
    got, _ = output_of(f"{COST} -o json")
    data = json.loads(got)
    assert data["owned_usd_per_hour"]["total"]["value"] == pytest.approx(2.51, abs=0.01)
    assert data["break_even_utilisation"]["specialist"]["value"] == pytest.approx(0.43, abs=0.01)
    got, _ = output_of(f"{COST} -o csv")
    assert got.startswith("device,devices,utilisation,region,rent_usd_per_hour.on-demand.value,")


def test_cost_of_what_is_not_known_and_slips():
    got, code = output_of("mlsysim cost a30")
    assert code == 1
    assert "not known: rent: no price of a30 is known" in got
    got, code = output_of("mlsysim cost h100 --region virgina")
    assert code == 2
    assert "did you mean" in got
    got, code = output_of("mlsysim cost h100 --utilisation 70")
    assert code == 2
    assert "utilisation must be in (0, 1], got 70" in got
    got, code = output_of("mlsysim cost h100 --years 0")
    assert code == 2


def test_quantities_of_cost_may_have_units():
    base = "mlsysim cost h100 --region virginia -o json"
    stated, _ = output_of(f"{base} --utilisation 0.7 --usd 30000 --power-w 900 --discount-rate 0.1")
    written, _ = output_of(f"{base} --utilisation 70% --usd '30,000 USD' --power-w '0.9 kW' --discount-rate '10 %'")
    assert json.loads(written)["owned_usd_per_hour"]["total"] == pytest.approx(
        json.loads(stated)["owned_usd_per_hour"]["total"]
    )


def test_a_node_costs_what_its_devices_do():
    node, _ = output_of("mlsysim cost dgx-h100 --region virginia --utilisation 0.7")
    devices, _ = output_of("mlsysim cost h100 --devices 8 --region virginia --utilisation 0.7")
    assert node == devices


def test_quantities_of_a_run_are_suggested_too():
    got, code = output_of("mlsysim choose llama-3.1-8b --on h100 --tokens 1e12 --by run_usdd")
    assert code == 2
    assert "unknown quantity in by: 'run_usdd': did you mean run_usd" in got


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    pytest.importorskip("matplotlib")
    got, code = output_of(f"mlsysim choose llama-3.1-8b --on h100 --plot {tmp_path / 'none' / 'front.png'}")
    assert code == 1
    assert f"cannot write {tmp_path / 'none' / 'front.png'}: No such file or directory" in got


def test_prices_in_one_list_and_options_that_were_not_held_against_the_best():
    several, _ = output_of(f"{CHOOSE} --phase decode --price h100=2.5,b200=4 -o csv")
    repeated, _ = output_of(f"{CHOOSE} --phase decode --price h100=2.5 --price b200=4 -o csv")
    assert several == repeated
    got, _ = output_of("mlsysim choose resnet-50 --on gpu")
    assert "-: only the next " in got


def test_choose_among_owned_devices_tells_what_day_each_price_is_of():
    got, code = output_of(
        "mlsysim choose llama-3.1-8b --on h100,h200 --phase decode --own --utilisation 70% --region virginia"
    )
    assert code == 0
    assert "least of each hardware; owned, 70 % of the hours used" in got
    assert "bought (price of)" in got
    rows = {line.split()[2].rstrip(","): line.split()[-1] for line in got.splitlines() if line.startswith(" 1 x")}
    assert rows == {"h200-sxm": "2026", "h100-sxm": "2024-08"}
    got, code = output_of("mlsysim choose llama-3.1-8b --on h100 --own --usd h100=30000 --usd-per-kwh 0.1 --years 3")
    assert code == 0
    assert got.split("time_s")[1].splitlines()[2].endswith("stated")
    got, code = output_of("mlsysim choose llama-3.1-8b --on h100 --own")
    assert code == 2
    assert "region must be given where devices are owned, or usd_per_kwh" in got
    got, code = output_of("mlsysim choose llama-3.1-8b --on h100 --years 3")
    assert code == 2
    assert "years must be left out where devices are rented, got 3; 'own' buys them" in got
    got, code = output_of("mlsysim choose llama-3.1-8b --on h100 --utilisation 50% --rent specialist")
    assert code == 0
    assert "least of each hardware; specialist rent, 50 % of the hours used" in got


EVEN = "mlsysim break-even llama-3.1-8b --phase decode --batch 32"


def test_break_even_of_rent_and_ownership_is_that_of_the_function():
    from mlsysim.costs.ownership import Ownership

    got, code = output_of(f"{EVEN} --a 'h100 specialist' --b 'h100 own' --region virginia -o json")
    assert code == 0
    data = json.loads(got[: got.rindex("\n}") + 2])
    meet = Ownership().break_even("h100", "virginia", rent="specialist").utilisation
    assert data["side"] == "from"
    assert data["value"] == pytest.approx(meet.value, rel=1e-9)
    got, code = output_of(f"{EVEN} --a 'h100 own' --b 'h200 own' --region virginia --over years")
    assert "owned (price of 2024-08)" in got
    assert "owned (price of 2026)" in got


def test_break_even_of_two_devices_by_price_and_by_batch():
    from mlsysim.hardware import Hardware

    got, code = output_of(f"{EVEN} --a 'h100 price=3' --b b200 --over price --efficiency 0.005 -o json")
    assert code == 0
    data = json.loads(got[: got.rindex("\n}") + 2])
    peaks = {d: Hardware[d].peak("bf16").value for d in ("h100", "b200")}
    assert data["side"] == "up to"
    assert data["value"] == pytest.approx(3 * peaks["b200"] / peaks["h100"], rel=1e-9)
    got, code = output_of(f"{EVEN} --a 'l40s specialist' --b 'h100 specialist' --over batch")
    assert code == 0
    assert "from where on B has less usd_per_million than A, by batch size" in got
    got, code = output_of(f"{EVEN} --a 'h100 price=3' --b 'h100 price=4' --over context")
    assert code == 1
    assert "never" in got
    got, code = output_of(f"{EVEN} --a '2 x h100' --b 'h100 own' --over usd_per_kwh --region virginia")
    assert " A " in got
    assert "2 x h100-sxm, batch 32" in got


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ("--a h100 --b 'h100 onw'", "unknown word in --b: 'onw': did you mean own?"),
        ("--a h100 --b 'h100 own'", "--b must be given with --region, or usd_per_kwh=: an owner pays for electricity"),
        ("--a own=1 --b ''", "mlsysim: 2 problems:"),
        ("--a h100 --b 'h100 years=3'", "years must be left out where devices are rented, got 3; 'own' buys them"),
        ("--a h100 --b 'h100 own utilisation=2 usd_per_kwh=0.1'", "utilisation must be in (0, 1]"),
        ("--a h100 --b b200 --over bach", "unknown over 'bach': did you mean batch_size?"),
        (
            "--a h100 --b b200 --over tokens",
            "--over must be of a side that costs something once: --b 'b200 once=20000'",
        ),
        ("--a h100 --b b200 --over years", "--over must be of a side that is owned: --b 'h100 own', got 'years'"),
        ("--a h100 --b b2000", "unknown hardware 'b2000'"),
    ],
)
def test_slips_of_break_even(sides, said):
    got, code = output_of(f"mlsysim break-even llama-3.1-8b {sides}")
    assert code == 2
    assert said in got


def test_cost_counts_the_carbon_of_the_scope_that_is_asked_for():
    from mlsysim.costs.regions import region

    kilograms = {}
    for scope in ("life-cycle", "direct"):
        got, code = output_of(f"{COST} --scope {scope} -o json")
        assert code == 0
        found = json.JSONDecoder().raw_decode(got)[0]
        kilograms[scope] = found["carbon_kg"] / region("virginia").carbon(scope).value
    assert kilograms["life-cycle"] == pytest.approx(kilograms["direct"], rel=1e-9)
    for slip, said in (
        ("--region virginia --scope dirct", "scope must be life-cycle or direct, got 'dirct'"),
        ("--scope direct", "scope must be left out where no region is given, got 'direct'"),
    ):
        got, code = output_of(f"mlsysim cost h100 {slip}")
        assert code == 2
        assert said in got
