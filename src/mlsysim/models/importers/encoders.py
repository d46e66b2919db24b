"""Encoders and encoder-decoders from their published configuration: text, images, speech."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsysim.models.importers.fields import MOST_LAYERS, Fields
from mlsysim.models.network import Layer
from mlsysim.models.parts import Attention, Convolution, Mlp
from mlsysim.models.spec import Block, Stack, TransformerSpec


def bert(f: Fields) -> TransformerSpec:
    """Return a BERT-like encoder with its pooler (DistilBERT has none)."""
    hidden = f.count("hidden_size", "dim")
    heads = f.count("num_attention_heads", "n_heads")
    attention = Attention(heads=heads, kv_heads=heads, head_dim=f.each_head(hidden, heads), causal=False, bias="all")
    pooled = f.family != "distilbert"
    types = f.count("type_vocab_size", default=0 if f.family == "distilbert" else 2, least=0)
    return TransformerSpec(
        name="",
        hidden=hidden,
        vocab=f.count("vocab_size"),
        blocks=(
            Block(
                count=f.count("num_hidden_layers", "n_layers", most=MOST_LAYERS),
                parts=(attention, Mlp(ffn=f.count("intermediate_size", "hidden_dim"), gated=False, bias=True)),
            ),
        ),
        norm="layer",
        embedding_norm=True,
        final_norm=False,
        positions=f.count("max_position_embeddings", default=512),
        extra_parameters=types * hidden,
        causal=False,
        pooled=pooled,
        head=hidden if pooled else 0,
        head_bias=pooled,
        max_context=f.count("max_position_embeddings", default=512),
    )


def modernbert(f: Fields) -> TransformerSpec:
    """Return a ModernBERT: gated MLP, a full layer among windowed ones (arXiv:2412.13663)."""
    hidden, heads = f.count("hidden_size"), f.count("num_attention_heads")
    layers = f.count("num_hidden_layers", most=MOST_LAYERS)
    every, near = f.count("global_attn_every_n_layers", default=3), f.count("local_attention", default=128)
    full = len(range(0, layers, every))

    def block(count: int, window: int, name: str) -> Block:
        reach = Attention(heads=heads, kv_heads=heads, head_dim=f.each_head(hidden, heads), causal=False, window=window)
        return Block(count=count, parts=(reach, Mlp(ffn=f.count("intermediate_size"))), name=name)

    return TransformerSpec(
        name="", hidden=hidden, vocab=f.count("vocab_size"), norm="layer-nobias", embedding_norm=True,
        extra_parameters=-hidden, causal=False, head=0,
        blocks=tuple(b for b in (block(full, 0, "global"), block(layers - full, near, "local")) if b.count),
        max_context=f.count("max_position_embeddings", default=8192),
    )  # fmt: skip


def vit(f: Fields) -> TransformerSpec:
    """Return a vision transformer with its classifier; the image size fixes the tokens."""
    hidden, heads = f.count("hidden_size"), f.count("num_attention_heads")
    image, patch = f.count("image_size", default=224), f.count("patch_size", default=16)
    channels = f.count("num_channels", default=3)
    if image % patch:
        f.problem("image_size", f"a multiple of patch_size ({patch})", image)
    patches = max(image // patch, 1) ** 2
    special = 2 if f.family == "deit" else 1
    labels = f.count("num_labels", default=1000 if not f.has("id2label") else len(f.inside("id2label").values))
    attention = Attention(
        heads=heads, kv_heads=heads, head_dim=f.each_head(hidden, heads), causal=False,
        bias="all" if f.flag("qkv_bias", default=True) else "none",
    )  # fmt: skip
    weights = channels * patch * patch * hidden
    stem = Layer(
        "patch_embedding", "conv", patches * weights, weights + hidden, channels * image * image, patches * hidden
    )
    return TransformerSpec(
        name="",
        hidden=hidden,
        vocab=0,
        blocks=(
            Block(
                count=f.count("num_hidden_layers", most=MOST_LAYERS),
                parts=(attention, Mlp(ffn=f.count("intermediate_size", default=4 * hidden), gated=False, bias=True)),
            ),
        ),
        norm="layer",
        positions=patches + special,
        extra_parameters=special * hidden,
        front=(stem,),
        tokens=patches + special,
        causal=False,
        pooled=True,
        head=labels,
        head_bias=True,
        sample="image",
    )


def t5(f: Fields) -> TransformerSpec:
    """Return a T5: encoder and decoder with relative position tables, one embedding for both."""
    hidden, heads = f.count("d_model"), f.count("num_heads")
    layers = f.count("num_layers", most=MOST_LAYERS)
    below = f.count("num_decoder_layers", default=layers, most=MOST_LAYERS)
    gated = str(f.values.get("feed_forward_proj", "relu")).startswith("gated")
    table = f.count("relative_attention_num_buckets", default=32) * heads
    mlp = Mlp(ffn=f.count("d_ff"), gated=gated)

    def attention(**how: Any) -> Attention:
        return Attention(heads=heads, kv_heads=heads, head_dim=f.count("d_kv"), **how)

    encoder = Stack(
        hidden=hidden, blocks=(Block(count=layers, parts=(attention(causal=False), mlp)),), extra_parameters=table
    )
    return TransformerSpec(
        name="", hidden=hidden, vocab=f.count("vocab_size"), encoder=encoder, extra_parameters=table,
        blocks=(Block(count=below, parts=(attention(), attention(cross=True), mlp), norms=3),),
        tied=f.flag("tie_word_embeddings", default=True),
    )  # fmt: skip


def bart(f: Fields) -> TransformerSpec:
    """Return a BART: post-norm encoder and decoder with learned positions of their own."""
    hidden, heads, longest = f.count("d_model"), f.count("encoder_attention_heads"), f.count("max_position_embeddings")

    def attention(**how: Any) -> Attention:
        return Attention(heads=heads, kv_heads=heads, head_dim=f.each_head(hidden, heads), bias="all", **how)

    def mlp(name: str) -> Mlp:
        return Mlp(ffn=f.count(name), gated=False, bias=True)

    common: dict[str, Any] = {
        "hidden": hidden, "norm": "layer", "positions": longest + 2, "embedding_norm": True,
        "final_norm": f.family == "mbart",
    }  # fmt: skip
    encoder = Stack(
        blocks=(
            Block(
                count=f.count("encoder_layers", most=MOST_LAYERS),
                parts=(attention(causal=False), mlp("encoder_ffn_dim")),
            ),
        ),
        **common,
    )
    parts = (attention(), attention(cross=True), mlp("decoder_ffn_dim"))
    return TransformerSpec(
        name="", vocab=f.count("vocab_size"), encoder=encoder, tied=True, max_context=longest,
        blocks=(Block(count=f.count("decoder_layers", most=MOST_LAYERS), parts=parts, norms=3),), **common,
    )  # fmt: skip


def whisper(f: Fields) -> TransformerSpec:
    """Return a Whisper: a convolutional stem and an encoder over 30 s of sound, a decoder over text."""
    hidden, frames = f.count("d_model"), f.count("max_source_positions", default=1500)
    mels = f.count("num_mel_bins", default=80)
    first, second = 3 * mels * hidden, 3 * hidden * hidden
    front = (
        Layer("stem.1", "conv", 2 * frames * first, first + hidden, 2 * frames * mels, 2 * frames * hidden),
        Layer("stem.2", "conv", frames * second, second + hidden, 2 * frames * hidden, frames * hidden),
    )

    def attention(heads: str, **how: Any) -> Attention:
        count = f.count(heads)
        return Attention(heads=count, kv_heads=count, head_dim=max(hidden // count, 1), bias="all-without-k", **how)

    encoder = Stack(
        hidden=hidden,
        blocks=(
            Block(
                count=f.count("encoder_layers", most=MOST_LAYERS),
                parts=(
                    attention("encoder_attention_heads", causal=False),
                    Mlp(ffn=f.count("encoder_ffn_dim"), gated=False, bias=True),
                ),
            ),
        ),
        norm="layer",
        positions=frames,
        front=front,
        tokens=frames,
    )
    parts = (
        attention("decoder_attention_heads"),
        attention("decoder_attention_heads", cross=True),
        Mlp(ffn=f.count("decoder_ffn_dim"), gated=False, bias=True),
    )
    longest = f.count("max_target_positions", default=448)
    return TransformerSpec(
        name="", hidden=hidden, vocab=f.count("vocab_size"), norm="layer", encoder=encoder, tied=True,
        blocks=(Block(count=f.count("decoder_layers", most=MOST_LAYERS), parts=parts, norms=3),), positions=longest,
        sample="window", max_context=longest,
    )  # fmt: skip


def conformer(f: Fields) -> TransformerSpec:
    """Return a conformer encoder with a CTC head: half MLP, attention, convolution, half MLP (arXiv:2005.08100)."""
    hidden, heads = f.count("hidden_size"), f.count("num_attention_heads")
    mlp = Mlp(ffn=f.count("intermediate_size"), gated=False, bias=True)
    attention = Attention(heads=heads, kv_heads=heads, head_dim=f.each_head(hidden, heads), causal=False, bias="all")
    convolution = Convolution(kernel=f.count("conv_depthwise_kernel_size", "conv_kernel_size", default=31), bias=False)
    return TransformerSpec(
        name="", hidden=hidden, vocab=0, norm="layer", final_norm=False, causal=False, head=f.count("vocab_size"),
        head_bias=True,
        blocks=(
            Block(
                count=f.count("num_hidden_layers", most=MOST_LAYERS), parts=(mlp, attention, convolution, mlp), norms=5
            ),
        ),
    )  # fmt: skip


BUILDERS: dict[str, Callable[[Fields], TransformerSpec]] = {
    "bert": bert,
    "roberta": bert,
    "xlm-roberta": bert,
    "megatron-bert": bert,
    "distilbert": bert,
    "modernbert": modernbert,
    "vit": vit,
    "deit": vit,
    "t5": t5,
    "mt5": t5,
    "bart": bart,
    "mbart": bart,
    "whisper": whisper,
    "wav2vec2-conformer": conformer,
}
