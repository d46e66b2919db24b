"""Places and their grids: look-up, where a figure comes from, and that scopes are not mixed."""

import pytest

from mlsysim.costs.facilities import facility, facility_of, pue_of
from mlsysim.costs.figures import figures
from mlsysim.costs.regions import Regions, region
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware.registry import Hardware

TABLES = {
    "carbon.tsv": ("region", "basis"),
    "electricity.tsv": ("region", "basis"),
    "water.tsv": ("region", "basis"),
    "facilities.tsv": ("facility", "quantity"),
    "embodied.tsv": ("device", "basis"),
    "ownership.tsv": ("name", "basis"),
}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Germany", "germany"),
        ("DE", "germany"),
        ("deu", "germany"),
        ("United Kingdom", "united-kingdom"),
        ("uk", "united-kingdom"),
        ("virginia", "us-virginia"),
        ("US-VA", "us-virginia"),
        ("Georgia", "georgia"),  # the country: the state is us-georgia
        ("SRVC", "egrid-srvc"),
        ("us-east-1", "aws-us-east-1"),
        ("us-east1", "gcp-us-east1"),
        ("eu-west-1", "aws-eu-west-1"),
        ("europe_west4", "gcp-europe-west4"),
        ("West Europe", "azure-westeurope"),
    ],
)
def test_names_are_forgiving(spelling, name):
    assert region(spelling).name == name


def test_a_miss_suggests_the_nearest():
    with pytest.raises(UnknownName, match="unknown region 'germny': did you mean germany") as miss:
        region("germny")
    assert miss.value.nearest[0] == "germany"


def test_what_two_clouds_spell_alike_is_asked_back():
    with pytest.raises(UnknownName) as miss:
        region("US East 1")
    assert str(miss.value) == (
        "unknown region 'US East 1': did you mean gcp-us-east1 or aws-us-east-1? (clouds spell them alike)"
    )


def test_there_are_grids_of_most_of_the_world():
    kinds = [region(name).kind for name in Regions]
    assert kinds.count("country") > 200
    assert kinds.count("state") > 50
    assert kinds.count("grid") == 27  # EPA's subregions of eGRID2023, Puerto Rico with them
    assert kinds.count("cloud") > 100


@pytest.mark.parametrize("name", [n for n in Regions if n != "world"])
def test_every_region_has_an_intensity_of_a_known_scope(name):
    found = region(name).carbon()
    assert found.basis in ("life-cycle, location-based", "direct, location-based")
    assert 0 <= found.per_kwh < 2  # no fuel emits more: lignite is about 1.1 kg/kWh, life cycle
    assert all(outer in Regions for outer in region(name).within)


def test_a_published_intensity_by_hand():
    # 596.326 lb/MWh x 0.45359237 kg/lb = 270.49 kg/MWh.
    found = region("SRVC").carbon()
    assert found.per_kwh * 1000 == pytest.approx(270.49, abs=0.005)
    assert str(found) == "596.326 lb/MWh (egrid-srvc, direct, location-based, 2023)"


def test_a_cloud_region_says_whose_figure_it_has():
    assert region("us-east-1").carbon().of == "egrid-srvc"
    assert region("eu-west-1").carbon().of == "ireland"
    assert region("us-east4").carbon().of == "gcp-us-east4"
    assert region("us-east4").electricity().of == "us-virginia"
    assert region("us-east4").water().of == "us-virginia"


def test_scopes_are_told_and_never_mixed():
    usa = region("USA")
    life, direct = usa.carbon("life-cycle"), usa.carbon("direct")
    assert life.value > direct.value  # what fuel and plants take to make comes on top
    assert usa.carbon() == life
    # Only the country has a life-cycle figure: the answer says so.
    assert region("virginia").carbon("life-cycle").of == "united-states"
    with pytest.raises(InvalidValue, match="scope must be one that is published of the region, got 'direct'; france"):
        region("france").carbon("direct")
    with pytest.raises(InvalidValue, match="scope must be life-cycle or direct, got 'market-based'"):
        region("france").carbon("market-based")


def test_what_is_not_published_is_none():
    assert region("chad").electricity() is None
    assert region("chad").water() is None
    assert region("iceland").electricity("commercial") is None
    with pytest.raises(InvalidValue, match="sector must be industrial or commercial, got 'residential'"):
        region("iceland").electricity("residential")


def test_two_tables_of_one_study_agree_on_water():
    # Li et al. 2023 and ecologits both took the factors of Reig et al. 2020; rounding of gallons leaves 0.4 %.
    printed = {"india": 3.445, "ireland": 1.476, "sweden": 6.019, "finland": 4.542, "mexico": 5.300, "usa": 3.142}
    for name, litres in printed.items():
        assert region(name).water().per_kwh * 1000 == pytest.approx(litres, rel=0.004)


@pytest.mark.parametrize("table", TABLES)
def test_every_figure_has_a_source_and_a_date(table):
    owners = figures(table, *TABLES[table])
    known = {"embodied.tsv": Hardware, "carbon.tsv": Regions, "electricity.tsv": Regions, "water.tsv": Regions}
    for owner, rows in owners.items():
        assert owner in known.get(table, owners)
        for row in rows:
            assert row.source
            assert row.retrieved
            assert row.value >= 0
            assert "https://" in row.source or "public" in row.source or row.unverified
            assert row.date or row.unverified


def test_facilities():
    assert facility("Google").pue.value == 1.09
    assert facility("microsoft-arizona").wue.per_kwh * 1000 == pytest.approx(1.63)
    assert facility("meta").wue is None  # none was found: None, not a guess
    with pytest.raises(UnknownName, match="unknown facility 'gogle': did you mean google"):
        facility("gogle")


def test_the_pue_is_that_of_the_operator():
    assert facility_of(region("us-east-1")).name == "aws"
    assert facility_of(region("virginia")).name == "industry"
    assert pue_of(None, region("europe-west4")).of == "google"
    assert pue_of(None, None).of == "industry"
    assert pue_of(1.3, region("virginia")).source == "stated"
    with pytest.raises(InvalidValue, match=r"pue must be a finite number of at least 1, got 0\.9"):
        pue_of(0.9, None)
