"""Quantities at the edge: values by hand, the traps, and the sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.errors import InvalidValue
from mlsysim.units import parse, si, whole

GOOD = [
    ("80 GB", "B", 80e9),
    ("80GiB", "B", 80 * 2**30),
    ("8 Gb", "B", 1e9),
    ("8 Gbit", "B", 1e9),
    ("400 Gb/s", "B/s", 50e9),
    ("400 Gbps", "B/s", 50e9),
    ("3.35 TB/s", "B/s", 3.35e12),
    ("989 TFLOP/s", "FLOP/s", 989e12),
    ("989 TFLOPS", "FLOP/s", 989e12),
    ("989 tflops", "FLOP/s", 989e12),
    ("989 TFLOPs", "FLOP/s", 989e12),
    ("2.1k tok/s", "tokens/s", 2100.0),
    ("38 %", "1", 0.38),
    ("0.38", "1", 0.38),
    ("26 TOPS", "FLOP/s", 26e12),
    ("4.2 GMAC", "FLOP", 8.4e9),
    ("1.4e12", "FLOP", 1.4e12),
    ("2,100 tok/s", "tokens/s", 2100.0),
    ("2100 tokens/s", "tokens/s", 2100.0),
    ("85 images/s", "samples/s", 85.0),
    ("12 1/s", "tokens/s", 12.0),
    ("12 ms", "s", 0.012),
    ("30 days", "s", 30 * 86400.0),
    ("3 min", "s", 180.0),
    ("2 hours", "s", 7200.0),
    ("120 tok/min", "tokens/s", 2.0),
    ("2 TiB", "B", 2 * 2**40),
    (1200, "tokens/s", 1200.0),
]


@pytest.mark.parametrize(("text", "dimension", "value"), GOOD)
def test_quantities(text, dimension, value):
    assert parse(text, dimension) == pytest.approx(value, rel=1e-12)


BAD = [
    ("80 XB", "B", "unknown unit 'XB'"),
    ("80 GB", "B/s", "GB is a unit of B"),
    ("85 images/s", "tokens/s", "images/s is a unit of samples/s; try '1200 tok/s'"),
    ("9 tok/s/gpu", "tokens/s", "in tokens/s of all devices together, got '9 tok/s/gpu'; multiply by the number of"),
    ("fast", "tokens/s", "must be a positive number or a quantity such as"),
    ("-3 GB", "B", "must be greater than 0, got '-3 GB'"),
    ("nan", "s", "must be a finite number, got 'nan'"),
    (float("inf"), "s", "must be a finite number, got inf"),
    (0, "s", "must be greater than 0, got 0"),
    (True, "s", "must be a positive number, got True"),
    (None, "s", "must be a positive number, got None"),
    ([1], "s", "must be a positive number"),
]


@pytest.mark.parametrize(("value", "dimension", "sentence"), BAD)
def test_bad_quantities_are_named(value, dimension, sentence):
    with pytest.raises(InvalidValue) as caught:
        parse(value, dimension, "width")
    assert str(caught.value).startswith("width must be ")
    assert sentence in str(caught.value)


def test_pint_is_taken_by_its_manners():
    class Pint:
        def m_as(self, unit):
            assert unit == "B"
            return 5.0

    assert parse(Pint(), "B") == 5.0


def test_whole_names_the_nearest():
    assert whole(32, "batch_size") == 32
    with pytest.raises(
        InvalidValue, match=r"batch_size must be a whole number of at least 1, got 1.5; the nearest is 2"
    ):
        whole(1.5, "batch_size")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.35e12, "B/s", "3.35 TB/s"),
        (0.0031, "s", "3.1 ms"),
        (989e12, "FLOP/s", "989 TFLOP/s"),
        (7200, "s", "2 h"),
        (31536.0, "tokens/s", "31,536 tokens/s"),
        (0.0613, "images/s", "0.0613 images/s"),
        (0.0, "s", "0 s"),
        (0.99996, "s", "1 s"),
    ],
)
def test_printing(value, unit, text):
    assert si(value, unit) == text


@given(st.floats(min_value=1e-9, max_value=1e18))
def test_printing_and_reading_agree(value):
    assert parse(si(value, "B", 6), "B") == pytest.approx(value, rel=1e-5)
