"""Lowering: from a model to the work of one step.

A step is one forward pass over a batch of prompts (``forward``), one new token for each sequence of the batch
(``decode``), or one optimizer step over the global batch (``training``). Batch, lengths and bytes may be arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mlsysim.models.ledger import Operator, Sizes, Work
from mlsysim.models.network import NetworkSpec, Totals, totals
from mlsysim.models.parts import Line
from mlsysim.models.spec import ModelSpec, Stack, TransformerSpec
from mlsysim.models.training import ALL, Trained, optimizer, with_backward, with_training
from mlsysim.physics import mixture, speculation
from mlsysim.physics import transformer as physics
from mlsysim.physics.elementwise import Real, minimum

PHASES = ("forward", "decode", "training")
DEQUANTIZE_OPERATIONS = 2.0
"""Elementwise operations that turn a stored weight into the format of arithmetic: subtract a zero point, scale."""


class Speculation(NamedTuple):
    """Speculative decoding: a step drafts ``tokens``, verifies them in one pass, and keeps what is accepted.

    ``draft`` is a smaller model, or None for the model's own multi-token-prediction modules; ``acceptance`` the
    probability that a drafted token is kept.
    """

    tokens: int
    acceptance: Real
    draft: TransformerSpec | None = None


class _Pass(NamedTuple):
    """One pass over a stack: ``new`` tokens a sequence after ``context`` kept ones, beside ``source`` encoded ones.

    ``fresh`` where an encoder and a stem still have to run; ``full`` where masked pairs count; ``absorbed`` where
    latent attention reads the latents as they are cached.
    """

    batch: Real
    new: Real
    context: Real
    source: Real
    sizes: Sizes
    fresh: bool
    full: bool = False
    absorbed: bool = False

    @property
    def tokens(self) -> Any:
        """Return the tokens of all sequences."""
        return self.batch * self.new


def lower(
    model: ModelSpec,
    phase: str,
    *,
    batch_size: Real,
    seq_len: Real,
    context: Real,
    sizes: Sizes | None = None,
    value_bytes: Real = 2.0,
    target_len: Real | None = None,
    dequantized: bool = False,
    full_attention: bool = False,
    absorbed: bool | None = None,
    trained: Trained = ALL,
    speculative: Speculation | None = None,
) -> Work:
    """Lower a model to the work of one step.

    Parameters
    ----------
    model
        The spec.
    phase
        One of :data:`PHASES`.
    batch_size
        Prompts, sequences in flight, or the global training batch; samples for a network.
    seq_len
        Tokens of a prompt or training sequence, or of what an encoder reads; not used by networks, nor by ``decode``
        of a model without encoder.
    context
        Tokens already in the KV cache; used by ``decode``.
    sizes
        Bytes of a value in each role [B]; ``value_bytes`` for all of them if not given.
    target_len
        Tokens on the decoder's side of a model with encoder; 1 in ``forward`` and ``seq_len`` in training if not given.
    dequantized
        Whether weights are converted before arithmetic: then that is itemised.
    full_attention
        Count every query-key pair of a sequence, masked ones too: the convention of PaLM's MFU.
    absorbed
        Take latent attention against the cached latents; left out, in ``decode`` only.
    trained
        What ``training`` trains of a sequence model: all, low-rank adapters, or all but a frozen part.
    speculative
        Decode with drafted tokens.
    """
    found = sizes or Sizes(value_bytes, value_bytes, value_bytes)
    if isinstance(model, NetworkSpec):
        return _network_work(model, phase, batch_size, found, dequantized)
    latent = phase == "decode" if absorbed is None else absorbed
    if phase == "decode":
        p = _Pass(batch_size, 1.0, context, _source(model, seq_len), found, False, full_attention, latent)
        return _decode_work(model, p, speculative, dequantized)
    length: Real = model.tokens or seq_len
    if model.encoder:
        length = (seq_len if phase == "training" else 1.0) if target_len is None else target_len
    p = _Pass(batch_size, length, 0.0, _source(model, seq_len), found, True, full_attention, latent)
    last_only = model.pooled or (model.causal and phase == "forward")
    logits = p.batch if last_only else p.tokens
    ledger = _model(model, p, logits)
    if phase == "training":
        if trained.mtp:
            ledger += [_times(op, model.mtp) for op in _module(model, p, logits)]
        ledger = with_training(model, ledger, found, p.tokens, p.batch * p.source, trained)
    elif dequantized:
        ledger.append(_dequantization(ledger, found))
    items, unit = _items(model, p)
    return Work(tuple(ledger), items, unit)


def _source(m: TransformerSpec, seq_len: Real) -> Real:
    return 0.0 if m.encoder is None else m.encoder.tokens or seq_len


def _items(m: TransformerSpec, p: _Pass) -> tuple[Real, str]:
    """Return what a pass takes in: samples where the input fixes their length, else tokens that are read."""
    if m.fixed:
        return p.batch, f"{m.sample}s"
    return (p.batch * p.source if m.encoder else p.tokens), "tokens"


def _model(m: TransformerSpec, p: _Pass, logits: Real) -> list[Operator]:
    """Return the forward ledger of a model with its head on ``logits`` rows.

    A prefill needs the logits of each prompt's last token alone; training needs all.
    """
    ledger: list[Operator] = []
    prefix = ""
    if m.encoder:
        prefix = "decoder."
        if p.fresh:
            ledger += _front(m.encoder, p)
            ledger += _stack(m.encoder, p._replace(new=p.source, source=0.0), "encoder.")
    if p.fresh:
        ledger += _front(m, p)
    if m.vocab:
        moved = 2.0 * p.tokens * m.hidden * p.sizes.value
        ledger.append(Operator(f"{prefix}embedding", "lookup", 1, 0.0, 0.0, moved, 0.0))
    ledger += _stack(m, p, prefix)
    if m.outputs:
        name = "lm_head" if m.head < 0 else "head"
        sizes = p.sizes if p.sizes.table is None else p.sizes._replace(weight=p.sizes.table)
        ledger.append(_matmul(name, 1, logits, m.head_weights, m.hidden + m.outputs, sizes))
    return ledger


def _stack(stack: Stack, p: _Pass, prefix: str) -> list[Operator]:
    ledger = []
    for count, line in stack.lines:
        name = prefix + line.name if prefix else line.name
        if line.kind == "matmul":
            if line.rows == "token":
                ledger.append(_matmul(name, count, p.tokens, line.weights, line.width, p.sizes))
            elif p.fresh:
                ledger.append(_matmul(name, count, p.batch * p.source, line.weights, line.width, p.sizes))
        elif line.kind == "experts":
            ledger.append(_experts(name, count, line, p))
        else:
            ledger.append(_mixer(name, count, line, p))
    vectors = stack.vector_parameters * p.sizes.value
    moved = stack.layers * 4.0 * p.tokens * stack.hidden * p.sizes.value
    ledger.append(Operator(f"{prefix}norms", "norm", stack.layers, 0.0, vectors, moved, 0.0))
    return ledger


def _matmul(name: str, count: int, rows: Real, weights: float, width: float, sizes: Sizes) -> Operator:
    stored = count * weights
    moved = count * rows * width * sizes.value
    return Operator(name, "matmul", count, physics.matmul_flops(rows, stored), stored * sizes.weight, moved, 0.0)


def _experts(name: str, count: int, line: Line, p: _Pass) -> Operator:
    """Return the routed experts: every token multiplies the chosen ones, and those that any token chose are read."""
    touched = mixture.experts_touched(line.experts, line.chosen, p.tokens)
    flops = physics.matmul_flops(p.tokens, count * line.chosen * line.weights)
    moved = count * p.tokens * line.width * p.sizes.value
    return Operator(name, "experts", count, flops, count * touched * line.weights * p.sizes.weight, moved, 0.0)


def _mixer(name: str, count: int, line: Line, p: _Pass) -> Operator:
    """Return attention, scan or convolution: what a row and a query-key pair take, and what is kept."""
    flops = count * line.row_flops * p.tokens
    kept: Real = 0.0
    if line.kind == "attention":
        each = line.cached_pair_flops if p.absorbed else line.pair_flops
        flops = count * each * p.batch * _pairs(line, p)
        kept = line.cached * p.batch * _read_and_written(line, p)
    moved = count * p.tokens * line.width * p.sizes.value
    state = line.state * p.batch * (1.0 if p.fresh else 2.0)  # one that goes on is read before it is written
    cache = count * (kept * p.sizes.kv + state * p.sizes.value)
    return Operator(name, line.kind, count, flops, 0.0, moved, cache)


def _pairs(line: Line, p: _Pass) -> Any:
    """Return the query-key pairs of one sequence."""
    reach = line.reach
    if reach.cross:
        return p.new * p.source
    if p.full or not reach.causal:
        return physics.full_pairs(p.new, p.context)
    if reach.chunk:
        return physics.chunked_pairs(p.new, p.context, reach.chunk)
    return physics.causal_pairs(p.new, p.context, reach.window or reach.selected or physics.NO_WINDOW)


def _read_and_written(line: Line, p: _Pass) -> Any:
    """Return the tokens of one sequence whose cache entries are read, and those that are written."""
    reach = line.reach
    if reach.cross:
        return p.source
    if reach.chunk:
        return p.context % reach.chunk + p.new
    limit = reach.window or reach.selected
    return (minimum(p.context, limit) if limit else p.context) + p.new


def _front(stack: Stack, p: _Pass) -> list[Operator]:
    return [_layer(row, p.batch, p.sizes) for row in totals(stack.front)]


def _layer(row: Totals, batch: Real, sizes: Sizes) -> Operator:
    read = row.parameters if row.touched is None else minimum(row.parameters, batch * row.touched)
    moved = batch * row.elements * sizes.value
    return Operator(row.name, row.kind, row.count, batch * row.flops, read * sizes.weight, moved, 0.0)


def _network_work(m: NetworkSpec, phase: str, batch: Real, sizes: Sizes, dequantized: bool) -> Work:
    ledger = [_layer(row, batch, sizes) for row in m.totals]
    if phase == "training":
        ledger = [*map(with_backward, ledger), optimizer(m.parameters, sizes)]
    elif dequantized:
        ledger.append(_dequantization(ledger, sizes))
    return Work(tuple(ledger), batch, f"{m.sample}s")


def _decode_work(m: TransformerSpec, p: _Pass, speculative: Speculation | None, dequantized: bool) -> Work:
    """Return the work of one new token a sequence, or of a step that verifies drafted ones."""
    items = p.batch
    if speculative is None:
        ledger = _model(m, p, p.batch)
    else:
        p = p._replace(new=speculative.tokens + 1.0)
        ledger = _model(m, p, p.tokens) + _drafted(m, speculative, p)
        items = p.batch * speculation.tokens_per_step(speculative.tokens, speculative.acceptance)
    if dequantized:
        ledger.append(_dequantization(ledger, p.sizes))
    return Work(tuple(ledger), items, "tokens")


def _drafted(m: TransformerSpec, s: Speculation, p: _Pass) -> list[Operator]:
    """Return the passes that draft: one a token, over a context that grows by one each time."""
    one = p._replace(new=1.0, context=p.context + (s.tokens - 1.0) / 2.0)
    passes = _module(m, one, p.batch) if s.draft is None else _named("draft.", _model(s.draft, one, p.batch))
    return [_times(op, s.tokens) for op in passes]


def _module(m: TransformerSpec, p: _Pass, logits: Real) -> list[Operator]:
    """Return one pass of one multi-token-prediction module, with the head that it shares with the model."""
    module = m.mtp_stack
    if module is None:
        return []
    project = _matmul("mtp.projection", 1, p.tokens, 2 * m.hidden**2, 3 * m.hidden, p.sizes)
    head = _matmul("mtp.head", 1, logits, m.head_weights, m.hidden + m.outputs, p.sizes)
    return [project, *_stack(module, p, "mtp."), head]


def _named(prefix: str, ledger: Iterable[Operator]) -> list[Operator]:
    return [op._replace(name=prefix + op.name) for op in ledger]


def _times(op: Operator, times: int) -> Operator:
    more = (times * value for value in op[2:])
    return Operator(op.name, op.kind, *more)  # type: ignore[arg-type]


def _dequantization(ledger: Iterable[Operator], sizes: Sizes) -> Operator:
    """Return the conversion of every weight that is read: elementwise, and no model FLOPs."""
    wide = {"lm_head", "head"} if sizes.table is not None else set()
    kinds = {"matmul", "experts", "conv", "depthwise", "linear"}
    read = [op for op in ledger if op.kind in kinds and op.name not in wide]
    values = sum(op.weight_bytes for op in read) / sizes.weight
    count = sum(op.count for op in read)
    return Operator("dequantization", "dequantize", count, 0.0, 0.0, 0.0, 0.0, DEQUANTIZE_OPERATIONS * values)
