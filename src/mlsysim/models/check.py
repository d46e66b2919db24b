"""A second, independent count of a step's FLOPs: from parameters, not from operators.

Every matrix parameter that a token meets costs it 2 FLOPs, every query-key pair 2 a key and value element, every state
element its recurrence. The parameters are those that are held to published counts; pairs are summed as triangles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.models.ledger import Work
from mlsysim.models.network import NetworkSpec
from mlsysim.models.parts import Attention, LatentAttention, LinearAttention, StateSpace
from mlsysim.models.spec import ModelSpec, Stack
from mlsysim.models.training import ALL, Trained, adapted_widths

_MIXING = "attention, scan and convolution by pair and token"
_FORWARD = f"2 x (active matrix parameters x tokens + head x logits) + {_MIXING}"
_TRAINING = f"6 x (active matrix parameters x tokens + head x logits) + 3 x {_MIXING}"
_ADAPTERS = f"4 x frozen and 6 x adapter parameters x tokens + 3 x {_MIXING}"


class Check(NamedTuple):
    """A second count: formula in words, FLOPs, and by how much the ledger differs from it; None without formula."""

    formula: str | None
    flops: float | None
    relative_difference: float | None


def checked(
    model: ModelSpec,
    phase: str,
    work: Work,
    *,
    batch_size: int,
    seq_len: int,
    context: int,
    target_len: int | None = None,
    trained: Trained = ALL,
) -> Check:
    """Return the second count of the work of a plain step, or of one that trains adapters, beside the ledger's."""
    if isinstance(model, NetworkSpec):
        return _published(model, phase, work, batch_size)
    if trained.frozen or trained.mtp:
        return Check(None, None, None)
    new = 1 if phase == "decode" else model.tokens or seq_len
    source = 0
    if model.encoder:
        source = model.encoder.tokens or seq_len
        new = new if phase == "decode" else target_len or (seq_len if phase == "training" else 1)
    past = context if phase == "decode" else 0
    fresh = phase != "decode"
    last_only = model.pooled or (model.causal and phase == "forward")
    matrices = _by_parameters(model, batch_size * new, batch_size * source if fresh else 0)
    head = 2.0 * model.head_weights * (batch_size if last_only else batch_size * new)
    mixing = batch_size * _mixing(model, new, past, source, absorbed=not fresh)
    if model.encoder and fresh:
        matrices += _by_parameters(model.encoder, batch_size * source, 0)
        mixing += batch_size * _mixing(model.encoder, source, 0, 0, absorbed=False)
    stems = [model.front, model.encoder.front if model.encoder else ()] if fresh else []
    mixing += 2.0 * batch_size * sum(layer.macs for stem in stems for layer in stem)
    if phase != "training":
        return _compared(_FORWARD, matrices + head + mixing, work)
    if trained.lora_rank:
        own, crossing = adapted_widths(model)
        adapters = 6.0 * trained.lora_rank * batch_size * (own * new + crossing * source)
        return _compared(_ADAPTERS, 2.0 * (matrices + head) + adapters + 3.0 * mixing, work)
    first = [stem[0].macs for stem in stems if stem]  # the stem's own input, which is data, needs no gradient
    mixing -= 2.0 / 3.0 * batch_size * sum(first)
    return _compared(_TRAINING, 3.0 * (matrices + head + mixing), work)


def _compared(formula: str, flops: float, work: Work) -> Check:
    return Check(formula, flops, float(work.flops / flops - 1.0))


def _published(m: NetworkSpec, phase: str, work: Work, batch: int) -> Check:
    if not m.published_macs:
        return Check(None, None, None)
    factor = 3.0 if phase == "training" else 1.0
    formula = "2 x published multiply-accumulates of a sample x batch" + (" x 3" if phase == "training" else "")
    return _compared(formula, 2.0 * factor * batch * m.steps * m.published_macs, work)


def _by_parameters(stack: Stack, tokens: float, source_tokens: float) -> float:
    """Return 2 FLOPs for each matrix parameter and token; keys and values of an encoder's output meet its tokens."""
    idle = stack.block_weights - stack.active_weights
    tables = stack.vector_parameters + stack.table_parameters + stack.front_parameters
    crossing = sum(
        b.count * 2 * stack.hidden * p.kv_heads * p.head_dim
        for b in stack.blocks
        for p in b.parts
        if isinstance(p, Attention) and p.cross
    )
    own = stack.stack_parameters - tables - idle - crossing
    return 2.0 * (own * tokens + crossing * source_tokens)


def _mixing(stack: Stack, new: int, past: int, source: int, *, absorbed: bool) -> float:
    """Return the FLOPs of one sequence between tokens: attention, recurrent states and convolutions."""
    total = 0.0
    for block in stack.blocks:
        for part in block.parts:
            total += block.count * _mixed(part, stack.hidden, new, past, source, absorbed)
    return total


def _mixed(p: Any, hidden: int, new: int, past: int, source: int, absorbed: bool) -> Any:
    if isinstance(p, Attention):
        return 4.0 * p.heads * p.head_dim * _met(p, new, past, source)
    if isinstance(p, LatentAttention):
        both = 2 * p.kv_rank + p.rope_dim if absorbed else p.nope_dim + p.rope_dim + p.value_dim
        all_pairs = _triangle(past + new, 0) - _triangle(past, 0)
        chosen = _triangle(past + new, p.index_top) - _triangle(past, p.index_top)
        return 2.0 * p.heads * both * chosen + 2.0 * p.index_heads * p.index_dim * all_pairs
    if isinstance(p, (StateSpace, LinearAttention)) or p.lines(hidden)[-1].kind == "conv":
        return float(new) * sum(line.row_flops for line in p.lines(hidden))
    return 0.0


def _met(p: Attention, new: int, past: int, source: int) -> float:
    if p.cross:
        return new * source
    if not p.causal:
        return new * (past + new)
    if p.chunk:
        return _chunks(past + new, p.chunk) - _chunks(past, p.chunk)
    return _triangle(past + new, p.window) - _triangle(past, p.window)


def _triangle(tokens: int, window: int) -> float:
    """Return the pairs of a sequence so far: 1 + 2 + ... up to the window, then the window a token."""
    rising = min(tokens, window) if window else tokens
    return rising * (rising + 1) / 2 + (tokens - rising) * window


def _chunks(tokens: int, chunk: int) -> float:
    full, rest = divmod(tokens, chunk)
    return full * chunk * (chunk + 1) / 2 + rest * (rest + 1) / 2
