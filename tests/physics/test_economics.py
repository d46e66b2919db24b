"""Costs by hand-computed and published values, and as laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.physics import economics as e

MWH = 3.6e9
KWH = 3.6e6
MONEY = st.floats(min_value=0.01, max_value=1e9)
RATE = st.floats(min_value=1e-4, max_value=0.5)
YEARS = st.floats(min_value=0.5, max_value=40.0)
SHARE = st.floats(min_value=0.01, max_value=1.0)
PUE = st.floats(min_value=1.0, max_value=3.0)


def test_rent_by_hand():
    # 8 devices at 3 USD/h for half an hour.
    assert e.rent(8, 3.0, 1800.0) == 12.0


def test_tokens_by_hand():
    # 36 USD/h and 1,000 tok/s: 3.6e6 tokens an hour, 10 USD a million.
    assert e.usd_per_million_tokens(36.0, 1000.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("rate", "years", "factor"),
    [(0.08, 10, 0.1490), (0.10, 5, 0.2638), (0.06, 20, 0.0872), (0.12, 3, 0.4163)],
)
def test_capital_recovery_factors_of_interest_tables(rate, years, factor):
    # (A/P, i, n) of any textbook's compound interest tables, printed to four digits.
    assert e.capital_recovery_factor(rate, years) == pytest.approx(factor, abs=0.00005)


def test_no_interest_is_straight_line():
    assert e.capital_recovery_factor(0.0, 5.0) == 0.2
    # 100,000 with 10 % left after 5 years loses 18,000 a year.
    assert e.annual_capital_cost(100_000.0, 0.0, 5.0, 0.1) == pytest.approx(18_000.0)
    rates = np.array([0.0, 0.10])
    assert e.capital_recovery_factor(rates, 5.0) == pytest.approx([0.2, 0.26380], abs=5e-6)


def test_capital_cost_by_hand():
    # Of 1,000 at 10 % for 5 years with 200 left: 800 x 0.263797 + 200 x 0.10.
    assert e.annual_capital_cost(1000.0, 0.10, 5, 0.2) == pytest.approx(231.04, abs=0.005)


def test_electricity_by_hand():
    # 1 kW at PUE 1.5 and 0.10 USD/kWh.
    assert e.electricity_per_hour(1000.0, 1.5, 0.10 / KWH) == pytest.approx(0.15)
    assert e.mean_power(700.0, 100.0, 0.5) == 400.0


def test_break_even_by_hand():
    # Owning costs 2 USD/h and 0.50 more in use, renting 4.50: 2 / 4 of the hours.
    assert e.break_even_utilisation(2.0, 0.5, 4.5) == 0.5
    assert e.break_even_rent(2.0, 0.5, 0.5) == 4.5
    assert e.break_even_hours(30_000.0, 0.5, 3.5) == 10_000.0
    assert e.break_even_utilisation(2.0, 5.0, 4.5) == float("inf")
    assert list(e.break_even_utilisation(2.0, np.array([0.5, 5.0]), 4.5)) == [0.5, float("inf")]


def test_the_carbon_of_bloom():
    # Luccioni et al. 2022, section 4.2: 433,196 kWh at 57 g/kWh, "24.69 tonnes"; energy and result are rounded there.
    assert e.operational_carbon(433_196 * KWH, 0.057 / KWH) == pytest.approx(24_690, abs=10)


def test_the_carbon_of_gpt_3():
    # Patterson et al. 2021, table 4: 1,287 MWh at 429 g/kWh, 552.1 t. PUE 1.10 is in the 1,287 MWh already:
    # 10,000 V100 x 330 W x 14.8 days x 1.10. Energy and days are rounded to the last printed digit.
    energy = e.wall_energy(10_000 * 330.0 * 14.8 * 86_400, 1.10)
    assert energy / MWH == pytest.approx(1287, rel=0.004)
    assert e.operational_carbon(1287 * MWH, 0.429 / KWH) == pytest.approx(552_100, rel=0.0005)


def test_the_carbon_of_llama_2():
    # Touvron et al. 2023 (arXiv:2307.09288), table 2: 1,720,320 GPU-hours at 400 W are 291.42 t for 70B, and
    # 184,320 h are 31.22 t for 7B. Neither PUE nor grid is told; both rows must give one intensity.
    large = e.fit_carbon_intensity(291_420, 1_720_320 * 400 * 3600.0)
    small = e.fit_carbon_intensity(31_220, 184_320 * 400 * 3600.0)
    assert large * KWH == pytest.approx(0.4235, abs=0.0001)
    assert small == pytest.approx(large, rel=0.0005)  # 31.22 is rounded to one part in six thousand


@pytest.mark.parametrize(
    ("place", "pue", "wue", "grid", "megalitres"),
    [("USA", 1.17, 0.55, 3.142, 5.439), ("Arizona", 1.18, 1.63, 4.959, 9.629), ("Sweden", 1.16, 0.09, 6.019, 9.101)],
)
def test_the_water_of_gpt_3(place, pue, wue, grid, megalitres):
    # Li et al. 2023, table 1: 1,287 MWh of equipment energy; factors are printed to three decimals.
    water = e.operational_water(1287 * MWH, wue / 1000 / KWH, pue, grid / 1000 / KWH)
    assert water == pytest.approx(megalitres * 1000, rel=0.001)


def test_embodied_carbon_by_hand():
    # 164 kg over 5 years used half the time: 100 h of 21,900.
    assert e.embodied_carbon(164.0, 100.0, 5.0, 0.5) == pytest.approx(164.0 / 219.0)


@given(usd=MONEY, devices=st.integers(1, 10_000), seconds=st.floats(1.0, 1e8))
def test_rent_and_its_price(usd, devices, seconds):
    assert e.rent(devices, e.fit_rent_price(usd, devices, seconds), seconds) == pytest.approx(usd, rel=1e-12)


@given(usd=MONEY, rate=st.floats(0.1, 1e6))
def test_price_of_tokens_and_throughput(usd, rate):
    assert e.fit_throughput(e.usd_per_million_tokens(usd, rate), usd) == pytest.approx(rate, rel=1e-12)


@given(capex=MONEY, rate=RATE, years=YEARS, left=st.floats(0.0, 0.9))
def test_capital_cost_and_purchase_price(capex, rate, years, left):
    annual = e.annual_capital_cost(capex, rate, years, left)
    assert e.fit_capex(annual, rate, years, left) == pytest.approx(capex, rel=1e-9)


@given(capex=MONEY, rate=RATE, years=st.integers(1, 30), left=st.floats(0.0, 0.9))
def test_payments_repay_the_purchase(capex, rate, years, left):
    # The definition, year by year: what is paid and what is left, discounted, is what was spent.
    annual = e.annual_capital_cost(capex, rate, years, left)
    worth = sum(annual / (1 + rate) ** k for k in range(1, years + 1)) + capex * left / (1 + rate) ** years
    assert worth == pytest.approx(capex, rel=1e-8)


@given(rate=RATE, years=YEARS)
def test_interest_costs(rate, years):
    factor = e.capital_recovery_factor(rate, years)
    assert factor > rate
    assert factor * years > 1


@given(fixed=MONEY, running=st.floats(0.0, 100.0), use=SHARE)
def test_at_the_break_even_both_cost_the_same(fixed, running, use):
    price = e.break_even_rent(fixed, running, use)
    assert e.per_used_hour(fixed + running * use, use) == pytest.approx(price, rel=1e-12)
    assert e.break_even_utilisation(fixed, running, price) == pytest.approx(use, rel=1e-6)


@given(energy=st.floats(1.0, 1e15), pue=PUE, host=st.floats(0.0, 2.0))
def test_energy_at_the_wall_and_of_the_devices(energy, pue, host):
    wall = e.wall_energy(energy, pue, host)
    assert wall >= energy
    assert e.fit_device_energy(wall, pue, host) == pytest.approx(energy, rel=1e-12)


@given(power=st.floats(1.0, 1e6), pue=PUE, price=st.floats(1e-9, 1e-6))
def test_electricity_and_its_price(power, pue, price):
    cost = e.electricity_per_hour(power, pue, price)
    assert e.fit_electricity_price(cost, power, pue) == pytest.approx(price, rel=1e-12)
