"""Parameters, FLOPs and bytes of a dense decoder transformer with grouped-query attention.

A multiply-accumulate is two FLOPs; embeddings are looked up, not multiplied; attention is causal: query i meets keys
0..i, which is s (s + 1) / 2 pairs in a sequence of s tokens.

References: Kaplan et al. 2020 (arXiv:2001.08361) section 2.1 for 2N a token forward and 6N in training; Narayanan et
al. 2021 (arXiv:2104.04473) section 5.1; Ainslie et al. 2023 (arXiv:2305.13245) for grouped-query attention.
"""

from __future__ import annotations

from typing import Any

from mlsysim.physics.elementwise import Real, maximum, minimum

TRAINING_OVER_FORWARD = 3.0
"""Training FLOPs over forward FLOPs without recomputation: 1 forward + 2 backward (Kaplan et al. 2020)."""
NO_WINDOW = 2.0**62
"""A sliding window that no context reaches [tokens]."""


def projection_weights(hidden: Real, heads: Real, kv_heads: Real, head_dim: Real) -> tuple[Any, Any]:
    """Return the matrix parameters of one layer's query-key-value and output projections."""
    return hidden * (heads + 2 * kv_heads) * head_dim, heads * head_dim * hidden


def mlp_weights(hidden: Real, ffn: Real, matrices: Real) -> Any:
    """Return the matrix parameters of one layer's MLP: 3 matrices when gated (Shazeer 2020), 2 when plain."""
    return matrices * hidden * ffn


def matmul_flops(rows: Real, weights: Real) -> Any:
    """Return the FLOPs of multiplying ``rows`` vectors by matrices of ``weights`` parameters, 2 a weight and row."""
    return 2.0 * rows * weights


def causal_pairs(new_tokens: Real, context: Real, window: Real = NO_WINDOW) -> Any:
    """Return the query-key pairs of one sequence whose ``new_tokens`` follow ``context`` cached ones.

    Token i (from 0) meets min(context + i + 1, window) keys: the cache, the new tokens before it, and itself. Without
    a window that is n c + n (n + 1) / 2.
    """
    growing = minimum(maximum(window - context, 0.0), new_tokens)
    return growing * context + growing * (growing + 1.0) / 2.0 + (new_tokens - growing) * window


def full_pairs(new_tokens: Real, context: Real) -> Any:
    """Return the query-key pairs where every new token meets all tokens, as in an encoder."""
    return new_tokens * (context + new_tokens)


def chunked_pairs(new_tokens: Real, context: Real, chunk: Real) -> Any:
    """Return the query-key pairs where a token meets only those before it in its own chunk, and itself."""
    return _pairs_in_chunks(context + new_tokens, chunk) - _pairs_in_chunks(context, chunk)


def _pairs_in_chunks(tokens: Real, chunk: Real) -> Any:
    whole = tokens // chunk
    rest = tokens - whole * chunk
    return whole * chunk * (chunk + 1.0) / 2.0 + rest * (rest + 1.0) / 2.0


def attention_flops(pairs: Real, heads: Real, key_dim: Real, value_dim: Real) -> Any:
    """Return the FLOPs of scores (2 a key element) and weighted values (2 a value element) over query-key pairs."""
    return 2.0 * pairs * heads * (key_dim + value_dim)


def kv_elements_per_token(kv_heads: Real, head_dim: Real) -> Any:
    """Return the keys and values that one layer stores for a token [elements]."""
    return 2.0 * kv_heads * head_dim


def flops_per_token_2n(parameters: Real) -> Any:
    """Return the 2N rule: forward FLOPs a token of a dense model with N parameters in matrices, attention left out."""
    return 2.0 * parameters


def flops_per_token_6n(parameters: Real) -> Any:
    """Return the 6N rule: training FLOPs a token of a dense model with N parameters in matrices, attention left out."""
    return 6.0 * parameters
