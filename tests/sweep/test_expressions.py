"""Conditions: what holds, what fails, what is not known; units; and the sentences for what is refused."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.sweep.expressions import Coded, parse
from mlsysim.sweep.quantities import QUANTITIES

KNOWN = (*QUANTITIES, "feasible", "fits", "model", "hardware", "phase", "precision", "devices", "batch_size")
NAN = float("nan")


def holds(text, **values):
    return parse(text, KNOWN)(values)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("tpot_s < 0.05", {"tpot_s": 0.04}, True),
        ("tpot_s < 0.05", {"tpot_s": 0.05}, False),
        ("tpot_s <= 50 ms", {"tpot_s": 0.05}, True),
        ("1e-3 < tpot_s < 1.5e1", {"tpot_s": 0.05}, True),
        ("1e-3 s < tpot_s < 1e3ms", {"tpot_s": 0.05}, True),
        ("tpot_s < '50 ms'", {"tpot_s": 0.04}, True),
        ("tpot_s < 50ms and usd_per_million < 2 USD", {"tpot_s": 0.04, "usd_per_million": 1.9}, True),
        ("tpot_s < 50ms and usd_per_million < $2", {"tpot_s": 0.04, "usd_per_million": 1.9}, None),
        ("time_s < 30 days", {"time_s": 29 * 86400.0}, True),
        ("time_s < 30 days", {"time_s": 31 * 86400.0}, False),
        ("memory_bytes / capacity_bytes < 90 %", {"memory_bytes": 71e9, "capacity_bytes": 80e9}, True),
        ("memory_bytes < 80 GB * devices", {"memory_bytes": 100e9, "devices": 2}, True),
        ("memory_bytes < 80 GB/devices", {"memory_bytes": 50e9, "devices": 2}, False),
        ("memory_bytes < 1 GiB", {"memory_bytes": 1.05e9}, True),
        ("throughput > 2.1k tok/s", {"throughput": 2101.0}, True),
        ("energy_j < 1 kWh", {"energy_j": 3.7e6}, False),
        ("0.1 <= efficiency < 0.5", {"efficiency": 0.1}, True),
        ("0.1 <= efficiency < 0.5", {"efficiency": 0.5}, False),
        ("not fits or bound == 'memory'", {"fits": True, "bound": "memory"}, True),
        ("not fits or bound == 'memory'", {"fits": True, "bound": "compute"}, False),
        ("hardware == 'H100'", {"hardware": "h100-sxm"}, True),
        ("'h100' != hardware", {"hardware": "h100-sxm"}, False),
        ("hardware in ('a100', 'h100')", {"hardware": "h100-sxm"}, True),
        ("hardware not in ['a100', 'h100']", {"hardware": "b200"}, True),
        ("precision == 'FP16'", {"precision": "fp16"}, True),
        ("phase == 'prefill'", {"phase": "forward"}, True),
        ("devices in (1, 2, 4)", {"devices": "4"}, True),
        ("max(tpot_s, ttft_s) < 1", {"tpot_s": 0.5, "ttft_s": 2.0}, False),
        ("abs(tpot_s - 50 ms) <= 1 ms", {"tpot_s": 0.0505}, True),
        ("2 * tpot_s + 10 ms < 0.1", {"tpot_s": 0.04}, True),
        ("-tpot_s < 0", {"tpot_s": 0.04}, True),
        ("feasible == True", {"feasible": True}, True),
    ],
)
def test_conditions(text, values, expected):
    if expected is None:
        with pytest.raises(InvalidValue):
            holds(text, **values)
    else:
        assert bool(holds(text, **values)) is expected


UNKNOWN = [
    ("tpot_s < 1", {"tpot_s": NAN}),
    ("tpot_s >= 1", {"tpot_s": None}),
    ("tpot_s != 1", {"tpot_s": NAN}),
    ("not (tpot_s < 1)", {"tpot_s": NAN}),
    ("min(tpot_s, 1 ms) < 1", {"tpot_s": NAN}),
    ("max(1 ms, tpot_s) < 1", {"tpot_s": NAN}),
    ("energy_j / flops < 1", {"energy_j": 1.0, "flops": 0.0}),
    ("bound != 'memory'", {"bound": None}),
    ("tpot_s < 1 and fits", {"tpot_s": NAN, "fits": True}),
]


@pytest.mark.parametrize(("text", "values"), UNKNOWN)
@pytest.mark.parametrize("many", [False, True])
def test_what_is_not_known_neither_holds_nor_fails(text, values, many):
    if many:
        values = {n: np.array([NAN if v is None else v]) if n != "bound" else v for n, v in values.items()}
    truth = parse(text, KNOWN).truth(values)
    assert not np.any(truth.holds)
    assert not np.any(truth.fails)


def test_what_is_not_known_does_not_matter_where_the_rest_decides():
    assert holds("tpot_s < 1 or fits", tpot_s=NAN, fits=True)
    assert parse("tpot_s < 1 and fits", KNOWN).truth({"tpot_s": NAN, "fits": False}).fails


def test_arrays_broadcast_element_by_element():
    tpot, usd = np.array([[0.04], [0.06], [NAN]]), np.array([1.0, 3.0])
    found = parse("tpot_s < 50 ms and not usd_per_million > 2", KNOWN).truth({"tpot_s": tpot, "usd_per_million": usd})
    assert found.holds.tolist() == [[True, False], [False, False], [False, False]]
    assert found.fails.tolist() == [[False, True], [True, True], [False, True]]
    assert holds("0.01 < tpot_s < 0.05 or tpot_s > 0.055", tpot_s=tpot).ravel().tolist() == [True, True, False]


def test_words_as_codes_and_as_arrays():
    coded = Coded(np.array([0, 1, -1, 0]), ("h100-sxm", "b200"))
    truth = parse("hardware == 'h100'", KNOWN).truth({"hardware": coded})
    assert truth.holds.tolist() == [True, False, False, True]
    assert truth.fails.tolist() == [False, True, False, False]
    assert holds("hardware != 'mi300x'", hardware=coded).tolist() == [True, True, False, True]
    assert holds("hardware in ('b200',)", hardware=np.array(["h100-sxm", "b200"])).tolist() == [False, True]
    devices = Coded(np.array([0, 1, -1]), ("1", "8"))
    assert holds("devices <= 4", devices=devices).tolist() == [True, False, False]
    bound = Coded(np.array([[0, 1], [2, -1]]), QUANTITIES["bound"].words)
    assert holds("not fits or bound == 'memory'", fits=np.array(True), bound=bound).tolist() == [
        [False, True],
        [False, False],
    ]


@given(
    st.lists(st.floats(0.001, 1.0) | st.just(NAN), min_size=1, max_size=20),
    st.lists(st.floats(0.1, 10.0) | st.just(NAN), min_size=1, max_size=20),
)
def test_arrays_and_numbers_agree(tpot, usd):
    size = min(len(tpot), len(usd))
    text = "tpot_s < 500 ms and not (usd_per_million > 2 or 0.1 < tpot_s <= 0.2) or usd_per_million / tpot_s >= 20"
    found = parse(text, KNOWN)
    many = found.truth({"tpot_s": np.array(tpot[:size]), "usd_per_million": np.array(usd[:size])})
    for n in range(size):
        one = found.truth({"tpot_s": tpot[n], "usd_per_million": usd[n]})
        assert (many.holds[n], many.fails[n]) == (one.holds, one.fails)
        assert not (one.holds and one.fails)


def test_margin_is_the_share_of_the_bound():
    upper = parse("tpot_s < 50 ms", KNOWN)
    assert upper.margin({"tpot_s": 0.04}) == pytest.approx(0.2)
    assert upper.margin({"tpot_s": 0.06}) == pytest.approx(-0.2)
    lower = parse("0.1 <= efficiency", KNOWN)
    assert lower.margin({"efficiency": 0.4}) == pytest.approx(3.0)
    assert parse("not efficiency < 0.1", KNOWN).margin({"efficiency": 0.05}) == pytest.approx(-0.5)
    assert parse("devices == 8", KNOWN).margin({"devices": 4}) == pytest.approx(-0.5)
    assert upper.margin({"tpot_s": np.array([0.04, 0.06])}) == pytest.approx([0.2, -0.2])
    assert math.isnan(parse("tpot_s > 0", KNOWN).margin({"tpot_s": 1.0}))
    assert parse("bound == 'memory'", KNOWN).margin({"bound": "memory"}) is None
    assert parse("tpot_s < 1 or fits", KNOWN).margin({"tpot_s": 1.0, "fits": True}) is None


def test_a_limit_says_what_was_found_against_what():
    found = parse("0.1 <= efficiency", KNOWN).limit({"efficiency": 0.05})
    assert found[:4] == ("efficiency", 0.05, ">=", 0.1)
    assert parse("tpot_s < '50 ms'", KNOWN).limit({"tpot_s": 1.0}) == ("tpot_s", 1.0, "<", 0.05, "s")


def test_parts_are_what_and_joins():
    parts = parse("tpot_s < 50 ms and (0.1 < efficiency < 40 % and bound in ('memory', 'overhead'))", KNOWN).parts
    assert [str(p) for p in parts] == [
        "tpot_s < 50 ms",
        "0.1 < efficiency",
        "efficiency < 0.4",
        "bound in ('memory', 'overhead')",
    ]
    assert parts[0].names == {"tpot_s"}
    assert parts[0].margin({"tpot_s": 0.1}) == pytest.approx(-1.0)
    whole = parse("tpot_s < 1 or not (fits and min(tpot_s, 2) > devices)", KNOWN)
    (same,) = whole.parts
    assert same is whole
    assert str(whole.condition) == "tpot_s < 1 or not (fits and min(tpot_s, 2) > devices)"


def test_an_expression_travels_and_is_a_key():
    one = parse("tpot_s < 50 ms and hardware == 'h100'", KNOWN)
    assert pickle.loads(pickle.dumps(one)) == one
    assert {one: 1}[parse("tpot_s < 50 ms and hardware == 'h100'", KNOWN)] == 1
    assert one.names == {"tpot_s", "hardware"}
    with pytest.raises(AttributeError):
        one.text = "tpot_s < 1"


CONDITION = "where must be a condition such as 'tpot_s < 50 ms and devices <= 8', got "
REFUSED = [
    ("tpot_s = 5", "'tpot_s = 5'; '==' compares, '=' does not"),
    ("tpot_s < 5 && fits", "'tpot_s < 5 && fits'; join conditions with 'and'"),
    ("tpot_s < 5 | fits", "'tpot_s < 5 | fits'; join conditions with 'or'"),
    ("tpot_s < 5 || fits", "'tpot_s < 5 || fits'; join conditions with 'or'"),
    ("!fits", "'!fits'; say 'not'"),
    ("tpot_s ≤ 5", "'tpot_s ≤ 5'; write <=, >= and !="),
    ("tpot_s", "'tpot_s'; tpot_s is compared with something: 'tpot_s < ...'"),
    ("bound", "'bound'; bound is compared with something: 'bound == 'compute''"),
    ("tpot_s.real < 1", "'tpot_s.real < 1'; 'tpot_s.real' cannot be part of one"),
    ("__import__('os').system('x')", "\"__import__('os').system('x')\"; "),
    ("tpot_s[0] < 1", "'tpot_s[0] < 1'; 'tpot_s[0]' cannot be part of one"),
    ("eval('1') < tpot_s", "\"eval('1') < tpot_s\"; 'eval' is not one of min, max, abs"),
    ("tpot_s ** 9 < 1", "'tpot_s ** 9 < 1'; 'tpot_s ** 9' cannot be part of one"),
    ("tpot_s ** 9 < 50 ms", "'tpot_s ** 9 < 50 ms'; 'tpot_s ** 9' cannot be part of one"),
    ("(lambda: 1) < tpot_s", "'(lambda: 1) < tpot_s'; 'lambda: 1' cannot be part of one"),
    ("tpot_s < 1 or 1", "'tpot_s < 1 or 1'; '1' is no comparison"),
    ("tpot_s is 1", "'tpot_s is 1'; '==' compares"),
    ("min(tpot_s) < 1", "'min(tpot_s) < 1'; 'min(tpot_s)' cannot be part of one"),
    ("tpot_s == 'fast'", "\"tpot_s == 'fast'\"; \"'fast'\" cannot be part of one"),
    ("fits == 'yes'", "\"fits == 'yes'\"; \"'yes'\" cannot be part of one"),
    ("hardware == h100", "'hardware == h100'; words stand in quotes: hardware == 'h100'"),
    ("hardware < 'h100'", "\"hardware < 'h100'\"; hardware is a word, and is only == or != to another"),
    ("tpot_s + hardware < 1", "'tpot_s + hardware < 1'; hardware is a word, and no number"),
    ("tpot_s < 50 GB", "'tpot_s < 50 GB'; one side is in s, the other in B"),
    ("tpot_s + 1 GB < 5", "'tpot_s + 1 GB < 5'; one side is in s, the other in B"),
    ("efficiency < 5 ms", "'efficiency < 5 ms'; one side is in pure numbers, the other in s"),
    ("", "''"),
    ("((((", "'(((('"),
    ("tpot_s < 1; fits", "'tpot_s < 1; fits'"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_is_no_condition_is_refused_with_the_reason(text, said):
    with pytest.raises(InvalidValue) as caught:
        parse(text, KNOWN)
    assert str(caught.value).startswith(CONDITION + said)


def test_units_that_are_unknown():
    with pytest.raises(
        InvalidValue, match=r"assert must be a condition with units such as 50 ms, .* unknown unit 'xs'"
    ):
        parse("tpot_s < 50 xs", KNOWN, "assert")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "tpot < 5",
            "unknown quantity in where: 'tpot': did you mean tpot_s? (`mlsysim schema --quantities` lists all)",
        ),
        ("zzz < 5", "unknown quantity in where: 'zzz' (known: achieved_flops, "),
        ("usd_per_milion < 5", "unknown quantity in where: 'usd_per_milion': did you mean usd_per_million"),
        ("bound == 'memroy'", "unknown bound in where: 'memroy': did you mean memory? (compute, memory, overhead)"),
        ("phase == 'decod'", "unknown phase in where 'decod': did you mean decode?"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(text, said):
    with pytest.raises(UnknownName) as caught:
        parse(text, KNOWN)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("text", ["(" * 500 + "fits", "not " * 2000 + "fits", "x\0y", "-" * 990 + "1 < tpot_s"])
def test_what_would_break_a_parser_is_refused(text):
    with pytest.raises(InvalidValue, match="where must be a condition such as"):
        parse(text, KNOWN)


TOKENS = [
    *("tpot_s", "fits", "bound", "hardware", "devices", "tpot_s_p95", "'memory'", "'h100'", "'50 ms'", "50 ms", "3"),
    *(
        "<",
        "<=",
        "==",
        "!=",
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "min",
        "abs",
        "%",
        "GB",
        "1e-3",
    ),
]


@given(st.lists(st.sampled_from(TOKENS), max_size=9).map(" ".join))
def test_whatever_is_written_is_read_or_refused(text):
    try:
        found = parse(text, KNOWN)
    except (InvalidValue, UnknownName):
        return
    values = {"tpot_s": 0.04, "tpot_s_p95": NAN, "fits": True, "bound": "memory", "hardware": "b200", "devices": 8}
    truth = found.truth(values)
    assert not (truth.holds and truth.fails)
    arrays = {n: np.array([v]) if isinstance(v, (float, bool, int)) else v for n, v in values.items()}
    assert bool(np.all(found(arrays))) is bool(truth.holds)


def test_a_quantile_of_a_quantity_is_a_quantity():
    late = parse("tpot_s_p99 < 50 ms", KNOWN)
    assert late({"tpot_s_p99": 0.04})
    assert late.names == {"tpot_s_p99"}
    with pytest.raises(InvalidValue, match="one side is in s, the other in B"):
        parse("tpot_s_p99 < 1 GB", KNOWN)
    with pytest.raises(UnknownName, match="unknown quantity in where: 'weights_bytes_p99'"):  # no answer: it has none
        parse("weights_bytes_p99 < 1 GB", KNOWN)
