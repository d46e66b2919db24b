"""State-space, linear-attention and hybrid models from their published configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsysim.models.importers.decoders import attention, chosen_of, context, grouped, latent, mlps, shape
from mlsysim.models.importers.families import FAMILIES, Traits
from mlsysim.models.importers.fields import MOST_LAYERS, Fields
from mlsysim.models.parts import (
    Attention,
    Convolution,
    Experts,
    LatentAttention,
    LinearAttention,
    Mlp,
    Part,
    StateSpace,
)
from mlsysim.models.spec import TransformerSpec

_MAMBA = ("mamba", "mamba2", "linear_attention")
"""Words for a Mamba-2 layer in the lists of hybrids that have no other linear layers."""
_NAMES = {
    Convolution: "conv",
    LatentAttention: "latent",
    StateSpace: "mamba",
    LinearAttention: "linear",
    Attention: "attention",
    Mlp: "mlp",
    Experts: "moe",
}


def _label(parts: tuple[Part, ...]) -> str:
    return "-".join(_NAMES[type(p)] for p in parts)


def _spec(f: Fields, layers: list[tuple[Part, ...]], norms: int, **more: Any) -> TransformerSpec:
    blocks = grouped(layers, norms, _label)
    sizes = {"hidden": f.count("hidden_size", "d_model"), "vocab": f.count("vocab_size")}
    return TransformerSpec(name="", blocks=blocks, max_context=context(f), **{**sizes, **more})


def mamba(f: Fields) -> TransformerSpec:
    """Return a Mamba-1 model."""
    hidden = f.count("hidden_size", "d_model")
    layers = f.count("num_hidden_layers", "n_layer", most=MOST_LAYERS)
    return _spec(
        f,
        [(_mamba_1(f, hidden, norm=False),)] * layers,
        1,
        tied=f.flag("tie_word_embeddings", default=True),
    )


def _mamba_1(f: Fields, hidden: int, norm: bool) -> StateSpace:
    inner = f.count("intermediate_size", default=0, least=0) if f.values.get("model_type") != "jamba" else 0
    inner = inner or f.count("expand", "mamba_expand", default=2) * hidden
    rank = f.values.get("time_step_rank", f.values.get("mamba_dt_rank"))
    return StateSpace(
        version=1,
        inner=inner,
        state=f.count("state_size", "mamba_d_state", default=16),
        conv=f.count("conv_kernel", "mamba_d_conv", default=4),
        dt_rank=-(-hidden // 16) if rank in (None, "auto") else f.count("time_step_rank", "mamba_dt_rank"),
        norm=norm,
        bias=f.flag("use_bias", "mamba_proj_bias"),
        conv_bias=f.flag("use_conv_bias", "mamba_conv_bias", default=True),
    )


def _mamba_2(f: Fields, hidden: int, **more: Any) -> StateSpace:
    heads = f.count("num_heads", "mamba_num_heads", "mamba_n_heads", default=0, least=0)
    dim = f.count("head_dim" if f.has("num_heads") else "mamba_head_dim", "mamba_d_head", "mamba_head_dim", default=64)
    expanded = f.count("expand", "mamba_expand", default=2) * hidden
    inner = f.count("mamba_d_ssm", default=0, least=0) or (heads * dim if heads else expanded)
    return StateSpace(
        version=2,
        inner=inner,
        heads=heads or max(inner // dim, 1),
        state=f.count("state_size", "ssm_state_size", "mamba_d_state", default=128),
        conv=f.count("conv_kernel", "mamba_d_conv", default=4),
        groups=f.count("n_groups", "mamba_n_groups", default=1),
        bias=f.flag("use_bias", "mamba_proj_bias"),
        conv_bias=f.flag("use_conv_bias", "mamba_conv_bias", default=True),
        **more,
    )


def mamba_2(f: Fields) -> TransformerSpec:
    """Return a Mamba-2 model."""
    hidden = f.count("hidden_size", "d_model")
    layers = f.count("num_hidden_layers", "n_layer", most=MOST_LAYERS)
    return _spec(f, [(_mamba_2(f, hidden),)] * layers, 1, tied=f.flag("tie_word_embeddings"))


def jamba(f: Fields) -> TransformerSpec:
    """Return a Jamba (arXiv:2403.19887): Mamba-1 layers, of which some are attention, and some have experts."""
    s = shape(f)
    mixer = attention(f, Traits(), s)
    state = _mamba_1(f, s["hidden"], norm=True)
    dense = Mlp(ffn=f.count("intermediate_size"))
    experts = f.count("num_experts", default=1)
    sparse = Experts(experts=experts, chosen=chosen_of(f, experts), ffn=dense.ffn) if experts > 1 else dense
    every, at = f.count("attn_layer_period", default=8), f.count("attn_layer_offset", default=4, least=0)
    moe_every, moe_at = f.count("expert_layer_period", default=2), f.count("expert_layer_offset", default=1, least=0)
    layers: list[tuple[Part, ...]] = [
        (mixer if i % every == at else state, sparse if i % moe_every == moe_at else dense) for i in range(s["layers"])
    ]
    return _spec(f, layers, 2, tied=f.flag("tie_word_embeddings"))


def bamba(f: Fields) -> TransformerSpec:
    """Return a Bamba or Granite 4: Mamba-2 layers with some attention layers, an MLP or experts in each."""
    s = shape(f)
    mixer = attention(f, Traits(bias="all", biased_by="attention_bias"), s)
    state = _mamba_2(f, s["hidden"])
    if f.has("layer_types", "layers_block_type"):
        name = "layer_types" if f.has("layer_types") else "layers_block_type"
        kinds = f.words(name, (*_MAMBA, "attention", "full_attention"), s["layers"]) or ["mamba"] * s["layers"]
    else:
        where = f.numbers("attn_layer_indices") or []
        kinds = ["attention" if i in where else "mamba" for i in range(s["layers"])]
    mlp: Mlp | Experts = Mlp(ffn=f.count("shared_intermediate_size", "intermediate_size"), bias=f.flag("mlp_bias"))
    if f.count("num_local_experts", default=0, least=0):
        mlp = Experts(
            experts=f.count("num_local_experts"),
            chosen=chosen_of(f, f.count("num_local_experts")),
            ffn=f.count("intermediate_size"),
            shared_ffn=f.count("shared_intermediate_size", default=0, least=0),
        )
    layers: list[tuple[Part, ...]] = [(state if kind in _MAMBA else mixer, mlp) for kind in kinds]
    return _spec(f, layers, 2, tied=f.flag("tie_word_embeddings"))


def falcon_h1(f: Fields) -> TransformerSpec:
    """Return a Falcon-H1: attention and Mamba-2 side by side in every layer."""
    s = shape(f)
    mixer = attention(f, Traits(bias="all", biased_by="attention_bias"), s)
    state = _mamba_2(f, s["hidden"], norm=f.flag("mamba_rms_norm"))
    parts = (mixer, state, Mlp(ffn=f.count("intermediate_size"), bias=f.flag("mlp_bias")))
    return _spec(f, [parts] * s["layers"], 2, tied=f.flag("tie_word_embeddings"))


def nemotron_h(f: Fields) -> TransformerSpec:
    """Return a Nemotron-H: each layer is a Mamba-2 (M), an attention (*), an MLP (-) or an expert (E) layer."""
    hidden, heads = f.count("hidden_size"), f.count("num_attention_heads")
    sizes = {"hidden": hidden, "heads": heads, "layers": 1, "vocab": 1}
    kinds: dict[str, tuple[Part, ...]] = {
        "M": (_mamba_2(f, hidden),),
        "*": (attention(f, Traits(bias="all", biased_by="attention_bias"), sizes),),
        "-": (Mlp(ffn=f.count("intermediate_size"), gated=False, bias=f.flag("mlp_bias")),),
    }
    pattern = f.values.get("hybrid_override_pattern")
    if pattern is None and f.has("layers_block_type", "layer_types"):
        letters = {**dict.fromkeys(_MAMBA, "M"), "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E"}
        name = "layers_block_type" if f.has("layers_block_type") else "layer_types"
        pattern = "".join(letters[kind] for kind in f.words(name, letters) or [])
    if not isinstance(pattern, str) or not pattern or set(pattern) - set("M*-E") or len(pattern) > MOST_LAYERS:
        f.problem("hybrid_override_pattern", "a word of M (Mamba), * (attention), - (MLP) and E (experts)", pattern)
        pattern = "M"
    if "E" in pattern:
        kinds["E"] = (
            Experts(
                experts=f.count("n_routed_experts"),
                chosen=chosen_of(f, f.count("n_routed_experts")),
                ffn=f.count("moe_intermediate_size"),
                gated=False,
                inner=f.count("moe_latent_size", default=0, least=0),
                shared_ffn=f.count("moe_shared_expert_intermediate_size", default=0, least=0)
                * f.count("n_shared_experts", default=1),
            ),
        )
    return _spec(f, [kinds[letter] for letter in pattern], 1, tied=f.flag("tie_word_embeddings"))


def qwen3_next(f: Fields) -> TransformerSpec:
    """Return a Qwen3-Next: gated delta rule in three of four layers, gated attention in the fourth, experts in all."""
    s = shape(f)
    mixer = Attention(
        heads=s["heads"],
        kv_heads=f.count("num_key_value_heads"),
        head_dim=f.count("head_dim", default=256),
        qk_norm="head",
        gated=True,
    )
    heads, keys = f.count("linear_num_value_heads", default=32), f.count("linear_num_key_heads", default=16)
    value = f.count("linear_value_head_dim", default=128)
    linear = LinearAttention(
        heads=heads,
        key_heads=keys,
        key_dim=f.count("linear_key_head_dim", default=128),
        value_dim=value,
        rule="delta",
        conv=f.count("linear_conv_kernel_dim", default=4),
        gate=heads * value,
        small=2,
        norm=value,
        extra=2 * heads,
    )
    every = f.count("full_attention_interval", default=4)
    kinds = f.words("layer_types", ("linear_attention", "full_attention"), s["layers"]) or [
        "linear_attention" if (i + 1) % every else "full_attention" for i in range(s["layers"])
    ]
    sparse = mlps(f, FAMILIES["qwen2_moe"], s)
    layers: list[tuple[Part, ...]] = [
        (linear if kind == "linear_attention" else mixer, mlp) for kind, mlp in zip(kinds, sparse, strict=True)
    ]
    return _spec(f, layers, 2, tied=f.flag("tie_word_embeddings"))


def minimax(f: Fields) -> TransformerSpec:
    """Return a MiniMax-01 or M1: lightning attention in seven of eight layers (arXiv:2501.08313), experts in all."""
    s = shape(f)
    dim = f.count("head_dim", default=max(s["hidden"] // s["heads"], 1))
    mixer = Attention(heads=s["heads"], kv_heads=f.count("num_key_value_heads"), head_dim=dim)
    width = s["heads"] * dim
    linear = LinearAttention(heads=s["heads"], key_heads=s["heads"], key_dim=dim, value_dim=dim, gate=width, norm=width)
    if f.has("layer_types"):
        kinds = (
            f.words("layer_types", ("linear_attention", "full_attention"), s["layers"])
            or ["full_attention"] * s["layers"]
        )
    else:
        listed = f.numbers("attn_type_list") or [1 if (i + 1) % 8 == 0 else 0 for i in range(s["layers"])]
        kinds = ["full_attention" if kind else "linear_attention" for kind in listed]
    experts = Experts(
        experts=f.count("num_local_experts"),
        chosen=chosen_of(f, f.count("num_local_experts")),
        ffn=f.count("intermediate_size"),
    )
    layers: list[tuple[Part, ...]] = [(linear if kind == "linear_attention" else mixer, experts) for kind in kinds]
    return _spec(f, layers, 2, tied=f.flag("tie_word_embeddings"))


def kimi_linear(f: Fields) -> TransformerSpec:
    """Return a Kimi Linear (arXiv:2510.26692): gated delta rule in most layers, latent attention in the others."""
    s, inner = shape(f), f.inside("linear_attn_config")
    heads = inner.count("num_heads", default=f.count("linear_num_heads", default=32))
    dim = inner.count("head_dim", default=f.count("linear_head_dim", default=128))
    kernel = inner.count("short_conv_kernel_size", default=f.count("linear_conv_kernel_dim", default=4))
    linear = LinearAttention(
        heads=heads,
        key_heads=heads,
        key_dim=dim,
        value_dim=dim,
        rule="delta",
        conv=kernel,
        small=1,
        gates=2,
        gate_rank=dim,
        norm=dim,
        extra=heads * dim + heads,
    )
    kinds = f.words("layer_types", ("linear_attention", "full_attention"), s["layers"])
    if kinds is None:
        full = inner.numbers("full_attn_layers") or []  # counted from 1
        kinds = ["full_attention" if i + 1 in full else "linear_attention" for i in range(s["layers"])]
    mixers: dict[str, Part] = {"linear_attention": linear, "full_attention": latent(f, s)}
    layers: list[tuple[Part, ...]] = [
        (mixers[kind], mlp) for kind, mlp in zip(kinds, mlps(f, Traits(), s), strict=True)
    ]
    return _spec(f, layers, 2, tied=f.flag("tie_word_embeddings"))


def lfm2(f: Fields) -> TransformerSpec:
    """Return an LFM2: short gated convolutions in most layers, attention in the others."""
    s = shape(f)
    wide = f.count("intermediate_size", "block_ff_dim")
    if f.flag("block_auto_adjust_ff_dim", default=True):
        step = f.count("block_multiple_of", default=256)
        wide = -(-int(f.real("block_ffn_dim_multiplier", 1.0) * (2 * wide // 3)) // step) * step
    conv = Convolution(
        kernel=f.count("conv_L_cache", default=3), widened=3, causal=True, norm=False, bias=f.flag("conv_bias")
    )
    kinds = f.words("layer_types", ("conv", "full_attention"), s["layers"])
    if kinds is None:
        full = f.numbers("full_attn_idxs") or range(s["layers"])
        kinds = ["full_attention" if i in full else "conv" for i in range(s["layers"])]
    mixer = attention(f, Traits(qk_norm="head"), s)
    layers: list[tuple[Part, ...]] = [(conv if kind == "conv" else mixer, Mlp(ffn=max(wide, 1))) for kind in kinds]
    return _spec(f, layers, 2, tied=f.flag("tie_word_embeddings", "tie_embedding", default=True))


BUILDERS: dict[str, Callable[[Fields], TransformerSpec]] = {
    "mamba": mamba,
    "falcon_mamba": mamba,
    "mamba2": mamba_2,
    "jamba": jamba,
    "bamba": bamba,
    "granitemoehybrid": bamba,
    "falcon_h1": falcon_h1,
    "nemotron_h": nemotron_h,
    "qwen3_next": qwen3_next,
    "kimi_linear": kimi_linear,
    "lfm2": lfm2,
    "minimax": minimax,
    "minimax_text_01": minimax,
    "minimax_m1": minimax,
}
