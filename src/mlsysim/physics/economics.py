"""What work costs: rent, ownership, energy at the wall, carbon and water, and where two choices meet.

Money in USD, energy in J, carbon in kg CO2 equivalent, water in m^3. Floats and arrays take the same path; nothing is
checked here. A kilowatt-hour is 3.6e6 J: an electricity price of 0.10 USD/kWh is 0.10 / 3.6e6 USD/J.

References: Newnan, Eschenbach and Lavelle, Engineering Economic Analysis (capital recovery, straight line); Barroso,
Hölzle and Ranganathan, The Datacenter as a Computer, chapter 6 (cost of ownership); The Green Grid, ISO/IEC 30134-2
and -9 (PUE, WUE); Patterson et al. 2021 (arXiv:2104.10350) section 2 and Luccioni et al. 2022 (arXiv:2211.02001)
section 4 (carbon); Li et al. 2023 (arXiv:2304.03271) section 3.1 (water).
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real, where

SECONDS_PER_HOUR = 3600.0
HOURS_PER_YEAR = 8760.0
JOULES_PER_KWH = 3.6e6


# Rent


def rent(devices: Real, usd_per_hour: Real, seconds: Real) -> Any:
    """Return what ``devices`` rented at ``usd_per_hour`` each cost for ``seconds`` [USD]."""
    return devices * usd_per_hour * seconds / SECONDS_PER_HOUR


def fit_rent_price(usd: Real, devices: Real, seconds: Real) -> Any:
    """Return the price at which :func:`rent` gives ``usd`` [USD/h of a device]."""
    return usd * SECONDS_PER_HOUR / (devices * seconds)


def usd_per_million_tokens(usd_per_hour: Real, tokens_per_s: Real) -> Any:
    """Return what a million tokens cost where all that is paid for makes ``tokens_per_s`` [USD].

    ``usd_per_hour`` is of all devices together. The work per second may be any, samples as well as tokens.
    """
    return 1e6 * usd_per_hour / (SECONDS_PER_HOUR * tokens_per_s)


def fit_throughput(usd_per_million: Real, usd_per_hour: Real) -> Any:
    """Return the rate at which a million tokens cost ``usd_per_million`` [tokens/s]."""
    return 1e6 * usd_per_hour / (SECONDS_PER_HOUR * usd_per_million)


# Ownership


def capital_recovery_factor(rate: Real, years: Real) -> Any:
    """Return the share of a sum that repays it with interest when paid every year: r / (1 - (1 + r)^-n) [1/year].

    At no interest it is 1 / n. Newnan et al., (A/P, i, n); at rates below about 1e-9 digits cancel.
    """
    some = where(rate == 0, 1.0, rate)
    return where(rate == 0, 1.0 / years, some / (1.0 - (1.0 + some) ** (0.0 - years)))


def annual_capital_cost(capex: Real, rate: Real, years: Real, residual_share: Real = 0.0) -> Any:
    """Return what having bought for ``capex`` costs a year, ``residual_share`` of it left at the end [USD/year].

    (P - S) (A/P, i, n) + S i: what is lost is repaid with interest, on what is left interest is paid. At a rate of
    0 this is straight-line depreciation.
    """
    left = capex * residual_share
    return (capex - left) * capital_recovery_factor(rate, years) + left * rate


def fit_capex(annual_cost: Real, rate: Real, years: Real, residual_share: Real = 0.0) -> Any:
    """Return the purchase price at which :func:`annual_capital_cost` gives ``annual_cost`` [USD]."""
    return annual_cost / annual_capital_cost(1.0, rate, years, residual_share)


def per_hour(usd_per_year: Real) -> Any:
    """Return a yearly cost by the hour of the year [USD/h]."""
    return usd_per_year / HOURS_PER_YEAR


def electricity_per_hour(power_w: Real, pue: Real, usd_per_joule: Real) -> Any:
    """Return what an hour of ``power_w`` costs at the meter of the building [USD/h]."""
    return power_w * pue * SECONDS_PER_HOUR * usd_per_joule


def fit_electricity_price(usd_per_hour: Real, power_w: Real, pue: Real) -> Any:
    """Return the price at which :func:`electricity_per_hour` gives ``usd_per_hour`` [USD/J]."""
    return usd_per_hour / (power_w * pue * SECONDS_PER_HOUR)


def mean_power(busy_w: Real, idle_w: Real, utilisation: Real) -> Any:
    """Return the mean power of a device that is busy for a share of the time and idle else [W]."""
    return idle_w + (busy_w - idle_w) * utilisation


def per_used_hour(usd_per_hour: Real, utilisation: Real) -> Any:
    """Return what an hour of use costs where an hour of owning costs ``usd_per_hour`` [USD/h]."""
    return usd_per_hour / utilisation


# Where buying and renting meet


def break_even_utilisation(fixed_per_hour: Real, running_per_hour: Real, rent_per_hour: Real) -> Any:
    """Return the share of the hours in use from which owning is not dearer than renting; inf where it always is.

    Owning costs ``fixed_per_hour`` used or not and ``running_per_hour`` more in use; rent is paid in use only:
    u* = F / (r - v), from F + v u = r u. Above 1 it cannot be reached either.
    """
    saved = rent_per_hour - running_per_hour
    return where(saved > 0, fixed_per_hour / where(saved > 0, saved, 1.0), float("inf"))


def break_even_rent(fixed_per_hour: Real, running_per_hour: Real, utilisation: Real) -> Any:
    """Return the rent at which owning costs the same at a given utilisation, F / u + v [USD/h]."""
    return fixed_per_hour / utilisation + running_per_hour


def break_even_hours(capex: Real, running_per_hour: Real, rent_per_hour: Real) -> Any:
    """Return the hours of use after which the purchase has paid for itself; inf where it never does [h].

    Without interest: capex / (rent - running cost).
    """
    return break_even_utilisation(capex, running_per_hour, rent_per_hour)


# Energy, carbon, water


def wall_energy(device_energy_j: Real, pue: Real, host_share: Real = 0.0) -> Any:
    """Return the energy that the building draws for what devices use [J].

    ``host_share`` is what hosts and network use beside the devices, as a share of the devices' energy; ``pue`` the
    energy of the building over that of its equipment.
    """
    return device_energy_j * (1.0 + host_share) * pue


def fit_device_energy(wall_energy_j: Real, pue: Real, host_share: Real = 0.0) -> Any:
    """Return the devices' share of an energy measured at the wall [J]."""
    return wall_energy_j / ((1.0 + host_share) * pue)


def operational_carbon(wall_energy_j: Real, kg_per_joule: Real) -> Any:
    """Return the emissions of generating an energy [kg CO2e]."""
    return wall_energy_j * kg_per_joule


def fit_carbon_intensity(carbon_kg: Real, wall_energy_j: Real) -> Any:
    """Return the intensity of the grid that emissions and energy imply [kg CO2e/J]."""
    return carbon_kg / wall_energy_j


def embodied_carbon(made_kg: Real, hours: Real, years: Real, utilisation: Real) -> Any:
    """Return the share of the emissions of making devices that ``hours`` of use stand for [kg CO2e].

    ``made_kg`` is of all devices used; they are used for ``utilisation`` of ``years``.
    """
    return made_kg * hours / (years * HOURS_PER_YEAR * utilisation)


def operational_water(it_energy_j: Real, wue_m3_per_joule: Real, pue: Real, grid_m3_per_joule: Real) -> Any:
    """Return the water consumed on site and in generation, e (WUE + PUE x EWIF) [m^3].

    ``it_energy_j`` is that of the equipment, before PUE; WUE is by equipment energy, the water of the grid (EWIF) by
    energy generated. Li et al. 2023, section 3.1.
    """
    return it_energy_j * (wue_m3_per_joule + pue * grid_m3_per_joule)
