"""FLOPs and bytes of a transformer by hand, by a second formula, and as laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.physics import memory
from mlsysim.physics import transformer as t

COUNT = st.integers(min_value=0, max_value=4000)


def brute_force_pairs(new, context, window):
    return sum(min(context + i + 1, window) for i in range(new))


@given(new=st.integers(1, 300), context=st.integers(0, 300), window=st.integers(1, 700))
def test_causal_pairs_equal_a_loop(new, context, window):
    assert t.causal_pairs(new, context, window) == brute_force_pairs(new, context, window)


def test_causal_pairs_by_hand():
    assert t.causal_pairs(4, 0) == 10  # 1 + 2 + 3 + 4
    assert t.causal_pairs(1, 2048) == 2049  # one token meets the cache and itself
    assert t.causal_pairs(3, 10, window=4) == 12


def test_causal_pairs_of_arrays():
    new, context = np.array([1.0, 4.0, 7.0]), np.array([2048.0, 0.0, 3.0])
    assert list(t.causal_pairs(new, context)) == [2049.0, 10.0, 49.0]


def test_gqa_projections_by_hand():
    # Llama 3.1 8B: 4096 wide, 32 query heads and 8 key-value heads of 128.
    assert t.projection_weights(4096, 32, 8, 128) == (4096 * 6144, 4096 * 4096)


def test_kv_cache_by_hand():
    # Llama 3.1 70B: 80 layers x 2 x 8 heads x 128 x 2 B = 320 KiB a token.
    assert 80 * t.kv_elements_per_token(8, 128) * 2 == 320 * 1024


def test_adam_needs_16_bytes_a_parameter():
    # Rajbhandari et al. 2020 section 3.1: 2 weight + 2 gradient + 12 state.
    assert 2 + 2 + memory.ADAM_STATE_BYTES == 16


def test_training_activations_by_hand():
    # Korthikanti et al. 2022, section 4: a checkpoint of 2 s b d bytes a layer in 16 bits.
    # Two sequences of 1,024 tokens, 512 wide, 10 layers.
    sbd = 2 * 1024 * 512
    assert 2 * 1024 * memory.checkpoint_elements(512, 10) * 2.0 == 10 * 2 * sbd
    # Without recomputation, 5 B a head and pair: 8 heads, 1,024 tokens.
    assert 2 * memory.score_elements(1024, 8) == 5 * 8 * 1024**2
