"""What a million tokens cost, read and written."""

import pytest

from mlsysim.errors import Infeasible, InvalidValue
from mlsysim.whatif.token_prices import token_prices

ASKED = {"precision": "fp16", "efficiency": 0.4, "usd_per_hour": 3.6}


def test_prices_by_hand():
    found = token_prices("llama-3.1-8b", "h100", prompt=1000, answer=500, batch_size=16, **ASKED)
    # 0.001 USD a second; a prompt of 1,000 tokens takes its FLOPs over 0.4 x 989 TFLOP/s.
    seconds = found.prefill.flops / (0.4 * 989e12)
    assert found.input.value == pytest.approx(0.001 * seconds / 1000 * 1e6)
    # eta 0.4 is above what memory allows: a step takes what moving its bytes takes, for 16 tokens.
    step = found.decode.traffic_bytes / 3.35e12
    assert found.output.value == pytest.approx(0.001 * step / 16 * 1e6)
    assert found.decode.context == 1250
    assert found.blended.value == pytest.approx((2 * found.input.value + found.output.value) / 3)


def test_what_is_written_costs_more_than_what_is_read():
    found = token_prices("llama-3.1-8b", "h100", batch_size=8)
    assert found.output.low > found.input.high
    assert found.input.value < found.blended.value < found.output.value


def test_requests_that_do_not_fit():
    with pytest.raises(Infeasible, match="GB missing"):
        token_prices("llama-3.1-70b", "h100", precision="fp16")


def test_a_price_that_is_not_known():
    with pytest.raises(InvalidValue, match="usd_per_hour must be given: no price of mi355x is known"):
        token_prices("llama-3.1-8b", "mi355x")
    with pytest.raises(InvalidValue, match="prompt must be a whole number of at least 1"):
        token_prices("llama-3.1-8b", "h100", prompt=0)
