"""Where two options change places: by hand, as laws, and in sentences."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim.costs.ownership import Ownership
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware import Hardware
from mlsysim.whatif.break_even import break_even
from mlsysim.whatif.device_cost import device_cost
from mlsysim.whatif.option import option

MODEL = "llama-3.1-8b"
STEP = {"model": MODEL, "phase": "decode", "batch_size": 32}
STATED = {**STEP, "efficiency": 0.005, "usd_per_hour": 3}
PEAKS = {d: Hardware[d].peak("bf16").value for d in ("h100", "b200", "l40s")}


def test_owning_beats_rent_where_its_own_equation_says():
    rented = {**STEP, "hardware": "h100", "rent": "specialist"}
    owned = {**STEP, "hardware": "h100", "own": True, "region": "virginia"}
    found = break_even(rented, owned)
    meet = Ownership().break_even("h100", "virginia", rent="specialist").utilisation
    assert found.side == "from"
    assert found.value == pytest.approx(meet.value, rel=1e-9)
    # Independent ranges add in squares: the ends lie within those that take the worst of both.
    maybe, surely = found.interval
    assert meet.low <= maybe < found.value < surely <= meet.high
    assert found.ratio.value == pytest.approx(1.0)


def test_the_price_at_which_two_devices_cost_the_same():
    # With one stated eta a token takes time in inverse proportion to the peak.
    found = break_even({**STATED, "hardware": "h100"}, {**STATED, "hardware": "b200"}, over="price")
    assert found.side == "up to"
    assert found.value == pytest.approx(3 * PEAKS["b200"] / PEAKS["h100"], rel=1e-9)
    assert found.interval == (found.value, found.value)
    assert found.reason.endswith("times the price of the first, 3 USD/h")


def test_the_share_of_rented_hours_that_must_be_used():
    first, second = {**STATED, "hardware": "h100"}, {**STATED, "hardware": "b200"}
    found = break_even(first, second)
    assert found.value == pytest.approx(PEAKS["h100"] / PEAKS["b200"], rel=1e-9)
    dear = break_even(first, {**second, "usd_per_hour": 30})
    assert dear.side == "never"
    assert dear.value is None
    times = 10 * PEAKS["h100"] / PEAKS["b200"]
    assert dear.reason.startswith(
        f"it comes nearest at utilisation 1, with {times:.3g} times the usd_per_million there"
    )
    assert dear.reason.endswith("nor is it within the intervals")


def test_the_batch_from_which_another_device_is_cheaper():
    first = {**STEP, "hardware": "l40s", "rent": "specialist"}
    second = {**STEP, "hardware": "h100", "rent": "specialist"}
    found = break_even(first, second, over="batch_size")
    assert found.side == "from"

    def cheaper(batch):
        a, b = (option(**{**q, "batch_size": batch}).value("usd_per_million") for q in (first, second))
        return b < a

    assert cheaper(int(found.value))
    assert not cheaper(int(found.value) - 1)
    assert "batch 32" not in str(found)


def test_always_and_throughput():
    found = break_even({**STEP, "hardware": "h100"}, {**STEP, "hardware": "b200"}, over="context", of="throughput")
    assert found.side == "always"
    assert str(found).startswith("1 x b200, batch 32 has more throughput than 1 x h100-sxm, batch 32 always: at every")
    back = break_even({**STEP, "hardware": "b200"}, {**STEP, "hardware": "h100"}, over="context", of="throughput")
    assert back.side == "never"
    # The second has less of what should be more: the ratio is told as it is.
    assert f"with {back.ratio.value:.3g} times the throughput there" in back.reason
    assert back.ratio.value < 1


def test_a_share_of_the_hours_is_told_by_the_day():
    found = break_even({**STATED, "hardware": "h100"}, {**STATED, "hardware": "b200"})
    share = PEAKS["h100"] / PEAKS["b200"]
    assert f"from {share:.3g} ({24 * share:.3g} hours a day) on" in str(found)


def test_electricity_and_years_of_what_is_owned():
    rented = {**STEP, "hardware": "h100", "usd_per_hour": 2.5}
    owned = {**STEP, "hardware": "h100", "own": True, "region": "virginia", "usd": 38_750, "utilisation": 0.7}
    found = break_even(rented, owned, over="usd_per_kwh")
    cost = Ownership().usd_per_device_hour("h100", utilisation=0.7, usd=38_750, usd_per_kwh=found.value)
    assert cost.total.value == pytest.approx(2.5, rel=1e-9)
    assert found.side == "up to"
    years = break_even({**rented, "usd_per_hour": 3}, owned, over="years")
    cost = Ownership(years=years.value).usd_per_device_hour("h100", "virginia", utilisation=0.7, usd=38_750)
    assert cost.total.value == pytest.approx(3, rel=1e-9)
    assert years.side == "from"


def test_what_is_paid_once_is_paid_back_by_hand():
    # 0.005 x peak FLOP/s at 3 USD/h: what a million tokens cost, and 1,000 USD once for the better device.
    first, second = ({**STATED, "hardware": d} for d in ("h100", "b200"))
    found = break_even(first, {**second, "fixed_usd": 1000}, over="tokens")
    costs = [option(**q).value("usd_per_million") for q in (first, second)]
    assert found.value == pytest.approx(1000 / (costs[0] - costs[1]) * 1e6)
    assert found.interval[0] == pytest.approx(found.value)
    dearer = break_even(second, {**first, "fixed_usd": 1000}, over="tokens")
    assert dearer.side == "never"
    assert dearer.reason.startswith("a million tokens cost ")
    json.dumps(found.to_dict(), allow_nan=False)


def test_it_may_never_be_paid_back_within_the_intervals():
    first, second = ({**STEP, "hardware": d, "usd_per_hour": p} for d, p in (("h100", 3), ("b200", 4)))
    found = break_even(first, {**second, "fixed_usd": 1000}, over="tokens")
    assert found.interval[0] < found.value
    assert found.interval[1] is None
    assert "maybe from " in str(found)
    assert "surely nowhere" in str(found)


@settings(max_examples=10, deadline=None)
@given(rent=st.floats(2.0, 20.0), usd=st.floats(15_000, 40_000))
def test_at_the_break_even_both_cost_the_same(rent, usd):
    rented = {**STEP, "hardware": "h100", "efficiency": 0.005, "usd_per_hour": rent}
    owned = {**STEP, "hardware": "h100", "efficiency": 0.005, "own": True, "region": "virginia", "usd": usd}
    found = break_even(rented, owned)
    meet = Ownership().break_even("h100", "virginia", rent=rent, usd=usd).utilisation.value
    assert (found.side == "from") == (1e-3 < meet <= 1)
    if found.side == "from":
        there = option(**owned, utilisation=found.value).value("usd_per_million")
        assert there == pytest.approx(option(**rented).value("usd_per_million"), rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"over": "utilization"}, UnknownName, "unknown over 'utilization': did you mean utilisation"),
        ({"of": "usd"}, UnknownName, "unknown quantity 'usd'"),
        ({"over": "usd_per_kwh"}, InvalidValue, "over must be an input of these options: neither is owned, got 'usd_p"),
        ({"over": "seq_len"}, InvalidValue, "over must be an input of these options: their phase has no such length"),
        ({"over": "tokens"}, InvalidValue, "fixed_usd must be more for the second option than for the first, got 0"),
    ],
)
def test_slips(fields, error, sentence):
    with pytest.raises(error, match=sentence):
        break_even({**STEP, "hardware": "h100"}, {**STEP, "hardware": "b200"}, **fields)


def test_where_one_never_fits_there_is_no_break_even():
    big = {"model": "llama-3.1-405b", "phase": "decode"}
    with pytest.raises(InvalidValue, match="batch_size must be one at which both options fit into memory"):
        break_even({**big, "hardware": "h100"}, {**big, "hardware": "b200"}, over="batch_size")


# An hour of a device


def test_an_hour_of_a_device_by_hand():
    found = device_cost("h100", "virginia", utilisation=0.5, devices=8)
    owned = Ownership().usd_per_device_hour("h100", "virginia", utilisation=0.5)
    assert found.owned.total == owned.total
    busy, rest = (owned.assumptions[n].value for n in ("power_w", "idle_power_w"))
    assert found.it_energy_j == pytest.approx(3600 * (rest + (busy - rest) * 0.5) / 0.5)
    # 539.599 lb of the state's grid by the MWh, at the industry's PUE of 1.54; 164 kg of making, over half of 5 years.
    kwh = found.it_energy_j / 3.6e6
    assert found.carbon.kg == pytest.approx(kwh * 1.54 * 539.599 * 0.45359237 / 1000)
    assert found.embodied.kg == pytest.approx(164 / (5 * 8760 * 0.5))
    data = found.to_dict()
    assert data["carbon_kg"] == pytest.approx(8 * found.carbon.kg)
    assert data["owned_usd_per_hour"]["total"]["value"] == pytest.approx(8 * owned.total.value)
    assert sum(data["owned_usd_per_hour"][p]["value"] for p in ("capital", "power", "facility", "maintenance")) == (
        pytest.approx(8 * owned.total.value)
    )
    json.dumps(data, allow_nan=False)
    meets = {r.price.kind: r.break_even for r in found.rents}
    assert meets["specialist"] == Ownership().break_even("h100", "virginia", rent="specialist").utilisation


def test_what_is_not_known_of_a_device_is_said():
    found = device_cost("tpu-v5e")
    assert found.owned is None
    assert found.why[0] == "owning: usd must be given: no purchase price of tpu-v5e is known"
    assert found.rents[0].break_even is None
    assert device_cost("a30").why[-1] == "rent: no price of a30 is known"
    assert device_cost("h100", "singapore", usd_per_kwh=0.1).water_l is None
    with pytest.raises(InvalidValue, match="usd must be a finite number of at least 0, got -1"):
        device_cost("h100", "virginia", usd=-1)


def test_never_is_no_number_in_plain_data():
    found = device_cost("h100", "virginia", usd=10_000_000).to_dict()["break_even_utilisation"]
    assert all(end is None or math.isfinite(end) for share in found.values() for end in share.values())
