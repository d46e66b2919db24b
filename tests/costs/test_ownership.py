"""The cost of owning by hand, as laws, and against rent."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.costs.ownership import Ownership, default
from mlsysim.costs.prices import price_range
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware import Hardware
from mlsysim.results import Interval

PLAIN = Ownership(
    years=5, discount_rate=0, residual_share=0, maintenance_share=0, facility_usd_per_kw_month=0, host_share=0, pue=1.5
)
SHARE = st.floats(0.01, 1.0)


HOST = 0.4678 * (10_200 - 8 * 700) / 8
"""Watts a device that a DGX H100 draws beside its eight: the middle share of what its rating leaves."""


def test_by_hand():
    # 43,800 USD over 5 years without interest is 1 USD/h owned; 1 kW x 1.5 x 0.10 is 0.15 USD/h in use; at rest the
    # device draws its 70 W and the host as much as in use.
    rest = 0.15 * (70 + HOST) / 1000
    cost = PLAIN.usd_per_device_hour("h100", utilisation=0.5, usd=43_800, usd_per_kwh=0.10, power_w=1000)
    assert cost.capital.value == pytest.approx(2.0)
    assert cost.power.value == pytest.approx(0.15 + rest)
    assert cost.facility.value == cost.maintenance.value == 0
    assert cost.total == Interval(*[cost.capital.value + cost.power.value] * 3)
    assert cost.running.value == pytest.approx(0.15 - rest)
    assert cost.fixed.value == pytest.approx(1 + rest)


def test_each_part_by_hand():
    # 10,000 USD with 5 % of repair a year; space for 1.275 kW (10.2 kW of a DGX H100 / 8) at 100 USD a month.
    owned = Ownership(discount_rate=0, maintenance_share=0.05, facility_usd_per_kw_month=100, pue=1.0)
    cost = owned.usd_per_device_hour("h100", utilisation=1, usd=10_000, usd_per_kwh=0.1)
    assert cost.maintenance.value == pytest.approx(500 / 8760)
    assert cost.facility.value == pytest.approx(1.275 * 1200 / 8760)
    assert cost.power.value == pytest.approx((700 + HOST) / 1000 * 0.1)
    assert cost.capital.value == pytest.approx(2000 / 8760)


def test_break_even_by_hand():
    # 1 USD/h and the power at rest, owned; the rest of 0.15 USD/h more in use; against twice the first and the second.
    rest = 0.15 * (70 + HOST) / 1000
    rent = 2 * (1 + rest) + 0.15 - rest
    meet = PLAIN.break_even("h100", rent=rent, usd=43_800, usd_per_kwh=0.10, power_w=1000)
    assert meet.utilisation.value == pytest.approx(0.5)
    dear = PLAIN.break_even("h100", rent=0.05, usd=43_800, usd_per_kwh=0.10, power_w=1000)
    assert dear.utilisation.value == math.inf


def test_a_power_below_that_at_rest_is_drawn_all_the_time():
    cost = PLAIN.usd_per_device_hour("h100", utilisation=0.5, usd=43_800, usd_per_kwh=0.10, power_w=100)
    assert cost.running.value == 0
    assert cost.power.value == pytest.approx(0.015 / 0.5)


def test_a_processor_has_no_host_and_an_unrated_device_draws_what_is_stated():
    told = Ownership().usd_per_device_hour("epyc-9654", utilisation=1, usd=10_000, usd_per_kwh=0.1).assumptions
    assert told["host_power_w"].value == 0
    assert told["power_w"].value == told["rated_power_w"].value == 360
    unrated = replace(Hardware["h100"], name="mine", tdp_w=None)
    drawn = Ownership().usd_per_device_hour(unrated, utilisation=1, usd=10_000, usd_per_kwh=0.1, power_w=500)
    assert drawn.assumptions["idle_power_w"].value == 500
    with pytest.raises(InvalidValue, match="power_w must be one for which the rated power of mine is known, got None"):
        Ownership().usd_per_device_hour(unrated, utilisation=1, usd=10_000, usd_per_kwh=0.1)


@given(utilisation=SHARE, rent=st.floats(0.2, 20.0))
def test_at_the_break_even_owning_costs_the_rent(utilisation, rent):
    meet = PLAIN.break_even("h100", "virginia", rent=rent, usd=20_000).utilisation.value
    if 1e-6 <= meet <= 1:
        cost = PLAIN.usd_per_device_hour("h100", "virginia", utilisation=meet, usd=20_000)
        assert cost.total.value == pytest.approx(rent, rel=1e-9)


@given(low=SHARE, high=SHARE)
def test_more_use_is_cheaper_by_the_hour(low, high):
    low, high = sorted((low, high))
    few, many = (Ownership().usd_per_device_hour("h100", "virginia", utilisation=u) for u in (low, high))
    assert few.total.value >= many.total.value * (1 - 1e-12)


@given(utilisation=SHARE)
def test_parts_sum_to_the_total_and_ends_hold_the_value(utilisation):
    cost = Ownership().usd_per_device_hour("h100", "virginia", utilisation=utilisation)
    for end in range(3):
        parts = (cost.capital, cost.power, cost.facility, cost.maintenance)
        assert sum(part[end] for part in parts) == pytest.approx(cost.total[end], rel=1e-12)
        hourly = cost.fixed[end] + cost.running[end] * utilisation
        assert hourly / utilisation == pytest.approx(cost.total[end], rel=1e-9)
    assert cost.total.low <= cost.total.value <= cost.total.high


def test_every_default_is_told_with_its_source():
    cost = Ownership(years=4).usd_per_device_hour("h100", "virginia", utilisation=0.7)
    told = cost.assumptions
    assert told["years"].source == "stated"
    assert told["discount_rate"] == default("discount_rate")
    assert told["discount_rate"].unverified
    assert told["pue"].of == "industry"
    assert told["purchase"].date == "2024-08"
    assert told["rated_power_w"].value == 1275
    assert "host_share" not in told  # the node's own power was known
    assert told["electricity"].of == "us-virginia"
    assert told["idle_power_w"].source.startswith("derived")
    assert told["power_w"].value == pytest.approx(700 + HOST, rel=1e-3)
    assert all(figure.source for figure in told.values())


def test_a_device_outside_a_node_draws_for_its_host():
    cost = Ownership().usd_per_device_hour("rtx-4090", "texas", utilisation=1)
    assert cost.assumptions["rated_power_w"].value == pytest.approx(450 * 1.414)
    assert cost.assumptions["host_share"] == default("host_share")
    assert cost.assumptions["purchase"].kind == "list price"


def test_electricity_ranges_over_the_sectors_of_one_place():
    cost = Ownership().usd_per_device_hour("h100", "california", utilisation=1)
    # Industrial 18.64 and commercial 23.91 cents.
    assert cost.power.high / cost.power.value == pytest.approx(23.91 / 18.64)
    assert cost.power.low == cost.power.value
    alone = Ownership().usd_per_device_hour("h100", "germany", utilisation=1)
    assert alone.power.low == alone.power.high


def test_owning_beats_a_hyperscaler_sooner_than_a_marketplace():
    meets = [
        Ownership().break_even("h100", "virginia", rent=kind).utilisation.value
        for kind in ("hyperscaler", "marketplace")
    ]
    assert meets[0] < meets[1]
    full = Ownership().break_even("h100", "virginia")
    assert full.utilisation.low < full.utilisation.value < full.utilisation.high
    assert full.rent == price_range("h100").interval


def test_interest_and_what_is_left_change_the_capital():
    def capital(**fields):
        return Ownership(**fields).usd_per_device_hour("h100", "virginia", utilisation=1).capital.value

    assert capital(discount_rate=0) < capital() < capital(discount_rate=0.15)
    assert capital(residual_share=0.3) < capital()
    assert capital(years=6) < capital() < capital(years=3)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"years": 0}, r"years must be a finite number of at least 0\.01, got 0"),
        ({"discount_rate": -0.1}, r"discount_rate must be a finite number of at least 0, got -0\.1"),
        ({"residual_share": 1.2}, r"residual_share must be a finite number from 0 to 1, got 1\.2"),
        ({"host_share": math.nan}, "host_share must be a finite number of at least 0, got nan"),
        ({"years": "five"}, "years must be a number, got 'five'"),
    ],
)
def test_impossible_ownership(fields, sentence):
    with pytest.raises(InvalidValue, match=sentence):
        Ownership(**fields)


def test_what_is_not_known_is_asked_for():
    owned = Ownership()
    with pytest.raises(InvalidValue, match="usd must be given: no purchase price of tpu-v5e is known, got None"):
        owned.usd_per_device_hour("tpu-v5e", "virginia", utilisation=1)
    with pytest.raises(InvalidValue, match="usd_per_kwh must be given: no price is known of chad, got None"):
        owned.usd_per_device_hour("h100", "chad", utilisation=1)
    with pytest.raises(InvalidValue, match="usd_per_kwh must be given: neither it nor a region is, got None"):
        owned.usd_per_device_hour("h100", utilisation=1)
    with pytest.raises(InvalidValue, match="rent must be a number: no reserved price of b200 is known, got 'reserved'"):
        owned.break_even("b200", "virginia", rent="reserved")
    with pytest.raises(InvalidValue, match="utilisation must be a finite number from 1e-06 to 1, got 70"):
        owned.usd_per_device_hour("h100", "virginia", utilisation=70)
    with pytest.raises(UnknownName, match="unknown facility 'gogle'"):
        Ownership(pue="gogle").usd_per_device_hour("h100", "virginia", utilisation=1)
