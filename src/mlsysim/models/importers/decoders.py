"""Decoder-only transformers from their published configuration: dense, mixtures of experts, latent attention.

Each family differs from the plain one (RMS norms, gated MLP, no bias, rotary positions) in a few traits; what the
configuration itself states wins. The traits are those of the modules in Hugging Face transformers, whose parameter
counts the tests hold them to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from mlsysim.models.importers.fields import MOST_LAYERS, Fields
from mlsysim.models.parts import Attention, Experts, LatentAttention, Mlp, Part
from mlsysim.models.spec import Block, TransformerSpec

LAYER_KINDS = ("full_attention", "sliding_attention", "chunked_attention", "linear_attention", "mamba", "attention")


@dataclass(frozen=True, slots=True)
class Traits:
    """How a family differs from the plain decoder; of each field, what holds where the configuration is silent."""

    norm: str = "rms"
    norms: int = 2
    gated: bool = True
    tied: bool = False
    bias: str = "none"
    biased_by: str = ""
    mlp_bias: bool = False
    qk_norm: str = "none"
    head_dim: int = 0
    positions: bool = False
    embedding_norm: bool = False
    head_bias: bool = False
    every_full: int = 0
    windowed: bool = True


FAMILIES: dict[str, Traits] = {
    "llama": Traits(bias="all", biased_by="attention_bias"),
    "mistral": Traits(),
    "mistral3": Traits(),
    "ministral": Traits(),
    "qwen2": Traits(bias="qkv", windowed=False),
    "qwen3": Traits(qk_norm="head", head_dim=128, bias="all", biased_by="attention_bias", windowed=False),
    "gemma": Traits(tied=True, head_dim=256),
    "gemma2": Traits(tied=True, head_dim=256, norms=4, every_full=2),
    "gemma3_text": Traits(tied=True, head_dim=256, norms=4, qk_norm="head", every_full=6),
    "phi3": Traits(),
    "phi": Traits(norm="layer", norms=1, gated=False, bias="all", mlp_bias=True, head_bias=True),
    "stablelm": Traits(norm="layer", bias="qkv", biased_by="use_qkv_bias"),
    "starcoder2": Traits(norm="layer", gated=False, tied=True, bias="all", mlp_bias=True),
    "olmo": Traits(norm="none"),
    "olmo2": Traits(qk_norm="full"),
    "olmo3": Traits(qk_norm="full", every_full=4),
    "cohere": Traits(norm="layer-nobias", norms=1, tied=True),
    "cohere2": Traits(norm="layer-nobias", norms=1, tied=True, every_full=4),
    "granite": Traits(bias="all", biased_by="attention_bias"),
    "internlm2": Traits(bias="all", biased_by="bias"),
    "internlm3": Traits(bias="all", biased_by="qkv_bias"),
    "baichuan": Traits(),
    "glm": Traits(bias="qkv", biased_by="attention_bias", head_dim=128),
    "glm4": Traits(bias="qkv", biased_by="attention_bias", head_dim=128, norms=4),
    "exaone": Traits(),
    "exaone4": Traits(qk_norm="head", every_full=4),
    "nemotron": Traits(norm="layer", gated=False),
    "smollm3": Traits(tied=True),
    "seed_oss": Traits(bias="qkv", head_dim=128),
    "apertus": Traits(gated=False, qk_norm="head"),
    "hunyuan_v1_dense": Traits(qk_norm="head"),
    "ernie4_5": Traits(tied=True, bias="all", biased_by="use_bias"),
    "gpt2": Traits(norm="layer", gated=False, tied=True, bias="all", mlp_bias=True, positions=True),
    "gpt_bigcode": Traits(norm="layer", gated=False, tied=True, bias="all", mlp_bias=True, positions=True),
    "gptj": Traits(norm="layer", norms=1, gated=False, mlp_bias=True, head_bias=True),
    "gpt_neox": Traits(norm="layer", gated=False, bias="all", biased_by="attention_bias", mlp_bias=True),
    "opt": Traits(norm="layer", gated=False, tied=True, bias="all", mlp_bias=True, positions=True),
    "bloom": Traits(norm="layer", gated=False, tied=True, bias="all", mlp_bias=True, embedding_norm=True),
    "mpt": Traits(norm="layer-nobias", gated=False, tied=True),
    "mixtral": Traits(),
    "qwen2_moe": Traits(bias="qkv", windowed=False),
    "qwen3_moe": Traits(qk_norm="head", bias="all", biased_by="attention_bias", windowed=False),
    "olmoe": Traits(qk_norm="full"),
    "phimoe": Traits(norm="layer", bias="all", biased_by="attention_bias"),
    "granitemoe": Traits(),
    "minimax_m2": Traits(qk_norm="full", windowed=False),
    "glm4_moe": Traits(bias="qkv", biased_by="attention_bias"),
    "gpt_oss": Traits(bias="all", head_dim=64, every_full=2),
    "llama4_text": Traits(head_dim=128),
    "ernie4_5_moe": Traits(tied=True, bias="all", biased_by="use_bias"),
    "hunyuan_v1_moe": Traits(qk_norm="head"),
    "dots1": Traits(qk_norm="head"),
    "deepseek_v2": Traits(),
    "deepseek_v3": Traits(),
    "deepseek_v32": Traits(),
    "kimi_k2": Traits(),
}
ALIKE = {
    "aquila": "llama",
    "yi": "llama",
    "internlm": "internlm2",
    "gemma3": "gemma3_text",
    "llama4": "llama4_text",
    "mistral3": "mistral",
    "qwen2_vl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "glm4_moe_lite": "glm4_moe",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
}
"""Model types that are built like another."""


def shape(f: Fields) -> dict[str, int]:
    """Return the sizes that every transformer states, in whichever spelling."""
    layers = f.count("num_hidden_layers", "n_layer", "n_layers", "num_layers", most=MOST_LAYERS)
    hidden = f.count("hidden_size", "n_embd", "d_model")
    heads = f.count("num_attention_heads", "n_head", "n_heads")
    return {"layers": layers, "hidden": hidden, "heads": heads, "vocab": f.count("vocab_size", "padded_vocab_size")}


def dense_or_sparse(f: Fields, family: str) -> TransformerSpec:
    """Return the spec of any family in :data:`FAMILIES`."""
    t = FAMILIES[family]
    s = shape(f)
    norms = t.norms
    if f.flag("use_parallel_residual", "parallel_attn") and family == "stablelm":
        norms = 1
    attention = (
        _latent(f, s["heads"]) if f.has("kv_lora_rank") and f.has("qk_rope_head_dim") else _attention(f, t, s, family)
    )
    mlps = _mlps(f, t, s, family)
    mixers = [replace(attention, **reach) for reach in _reaches(f, t, s["layers"])] if isinstance(
        attention, Attention
    ) else [attention] * s["layers"]
    blocks = grouped(zip(mixers, mlps, strict=True), norms)
    mpt_bias = family == "mpt" and not f.flag("no_bias", default=True)
    return TransformerSpec(
        name="",
        hidden=s["hidden"],
        vocab=s["vocab"],
        blocks=blocks,
        norm="layer" if mpt_bias else t.norm,
        tied=f.flag("tie_word_embeddings", "tie_embeddings", default=t.tied),
        positions=_positions(f, family) if t.positions or (family == "mpt" and not f.inside("attn_config").flag("alibi")) else 0,
        embedding_norm=t.embedding_norm,
        head_bias=f.flag("lm_head_bias", default=t.head_bias),
        mtp=f.count("num_nextn_predict_layers", "num_mtp_modules", default=0, least=0, most=64),
        max_context=_context(f),
    )


def grouped(layers: Iterable[tuple[Part, ...]], norms: int | Sequence[int], names: Callable[[tuple[Part, ...]], str] | None = None) -> tuple[Block, ...]:
    """Return blocks of the same parts counted together, each with the word that tells it from the others."""
    counts: dict[tuple[tuple[Part, ...], int], int] = {}
    for i, parts in enumerate(layers):
        key = parts, norms if isinstance(norms, int) else norms[i]
        counts[key] = counts.get(key, 0) + 1
    kinds = [parts for parts, _ in counts]
    return tuple(
        Block(count=count, parts=parts, norms=n, name=(names or (lambda p: _name(p, kinds)))(parts))
        for (parts, n), count in counts.items()
    )


def _name(parts: tuple[Part, ...], kinds: Sequence[tuple[Part, ...]]) -> str:
    """Return what tells a block from the others: its reach where that differs, dense or sparse where that does."""
    if len(kinds) == 1:
        return ""
    words = []
    if len({tuple(p for p in k if isinstance(p, (Attention, LatentAttention))) for k in kinds}) > 1:
        mixer = parts[0]
        near = isinstance(mixer, Attention) and (mixer.window or mixer.chunk)
        words.append(("local" if near else "global") if isinstance(mixer, Attention) else type(mixer).__name__.lower())
    if len({type(k[-1]) for k in kinds}) > 1 or (not words and len({k[-1] for k in kinds}) > 1):
        words.append("sparse" if isinstance(parts[-1], Experts) else "dense")
    return "-".join(words) or f"kind{kinds.index(parts) + 1}"


def _attention(f: Fields, t: Traits, s: dict[str, int], family: str) -> Attention:
    heads = s["heads"]
    kv = f.count("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "num_query_groups", default=heads)
    if family == "gpt_bigcode":
        kv = 1 if f.flag("multi_query", default=True) else heads
    if family == "mpt":
        kv = f.inside("attn_config").count("kv_n_heads", default=heads)
    dim = f.count("head_dim", "kv_channels", "attention_head_dim", default=t.head_dim or max(s["hidden"] // heads, 1))
    if heads % kv:
        f.problem("num_key_value_heads", f"a divisor of the {heads} query heads", kv)
    bias = t.bias if not t.biased_by or f.flag(t.biased_by, default=_biased_by_default(family)) else "none"
    if family == "mpt" and not f.flag("no_bias", default=True):
        bias = "all"
    norm = t.qk_norm
    if f.has("use_qk_norm", "qk_layernorm"):
        norm = ("head" if norm == "none" else norm) if f.flag("use_qk_norm", "qk_layernorm") else "none"
    if family == "llama4_text":
        norm = "none"  # its norm of queries and keys has no weights
    if family in {"cohere", "cohere2", "stablelm"} and norm == "head":
        norm = "full"
    return Attention(
        heads=heads, kv_heads=kv, head_dim=dim, bias=bias, qk_norm=norm, sinks=family == "gpt_oss"
    )


def _biased_by_default(family: str) -> bool:
    return family in {"gpt_neox", "internlm2"}


def _latent(f: Fields, heads: int) -> LatentAttention:
    return LatentAttention(
        heads=heads,
        q_rank=f.count("q_lora_rank", default=0, least=0),
        kv_rank=f.count("kv_lora_rank"),
        nope_dim=f.count("qk_nope_head_dim"),
        rope_dim=f.count("qk_rope_head_dim"),
        value_dim=f.count("v_head_dim"),
        bias="all" if f.flag("attention_bias") else "none",
        index_heads=f.count("index_n_heads", default=0, least=0),
        index_dim=f.count("index_head_dim", default=0, least=0),
        index_top=f.count("index_topk", default=0, least=0),
    )


def _reaches(f: Fields, t: Traits, layers: int) -> list[dict[str, int]]:
    """Return window or chunk of every layer."""
    window = f.count("sliding_window", default=0, least=0) if f.values.get("sliding_window") else 0
    chunk = f.count("attention_chunk_size", default=0, least=0) if f.values.get("attention_chunk_size") else 0
    if not t.windowed and not f.flag("use_sliding_window"):
        window = 0
    kinds = f.words("layer_types", LAYER_KINDS, layers)
    if kinds is None and chunk:
        skipped = f.numbers("no_rope_layers") or [int((i + 1) % 4 != 0) for i in range(layers)]
        kinds = ["chunked_attention" if rope else "full_attention" for rope in skipped[:layers]]
        kinds += ["full_attention"] * (layers - len(kinds))
    if kinds is None and window:
        every = f.count("sliding_window_pattern", "_sliding_window_pattern", default=t.every_full, least=0)
        first = f.count("max_window_layers", default=0, least=0)
        kinds = [
            "full_attention" if (every and (i + 1) % every == 0) or i < first else "sliding_attention"
            for i in range(layers)
        ]
    reach = {"sliding_attention": {"window": window}, "chunked_attention": {"chunk": chunk}}
    return [reach.get(kind, {}) for kind in kinds or ["full_attention"] * layers]


def _mlps(f: Fields, t: Traits, s: dict[str, int], family: str) -> list[Mlp | Experts]:
    """Return the MLP of every layer."""
    layers, hidden = s["layers"], s["hidden"]
    gated = t.gated
    wide = f.count("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "ffn_size", default=_wide(f, family, hidden))
    mlp_bias = f.flag("mlp_bias", "use_mlp_bias", default=t.mlp_bias) or (family == "ernie4_5" and f.flag("use_bias"))
    if family == "mpt" and not f.flag("no_bias", default=True):
        mlp_bias = True
    dense = Mlp(ffn=wide, gated=gated, bias=mlp_bias)
    experts = f.count("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts", default=0, least=0)
    if not experts:
        return [dense] * layers
    chosen = f.count("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts", default=0, least=0)
    if not chosen:
        f.problem("num_experts_per_tok", "given: how many experts a token is sent to", None)
        return [dense] * layers
    if chosen > experts:
        f.problem("num_experts_per_tok", f"at most the {experts} experts", chosen)
    ffn = f.count("moe_intermediate_size", "expert_ffn_size", default=wide)
    shared = f.count("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts", default=0, least=0)
    if family == "llama4_text":
        dense = Mlp(ffn=f.count("intermediate_size_mlp", default=wide), gated=gated)
        shared, ffn = 1, wide
    sparse = Experts(
        experts=experts,
        chosen=min(chosen, experts),
        ffn=ffn,
        gated=gated,
        bias=family == "gpt_oss",
        router_bias=family in {"gpt_oss", "ernie4_5_moe"},
        shared=shared,
        shared_ffn=f.count("shared_expert_intermediate_size", "shared_intermediate_size", default=0, least=0),
        shared_gate=family == "qwen2_moe",
    )
    return [sparse if here else dense for here in _sparse_layers(f, family, layers)]


def _wide(f: Fields, family: str, hidden: int) -> int | None:
    if family in {"gpt2", "gptj", "bloom", "gpt_bigcode"}:
        return 4 * hidden
    if family == "mpt":
        return int(f.real("expansion_ratio", 4.0) * hidden)
    return None


def _sparse_layers(f: Fields, family: str, layers: int) -> list[bool]:
    """Return which layers have experts."""
    listed = f.numbers("moe_layers")
    if listed is not None:
        return [i in listed for i in range(layers)]
    first = f.count("first_k_dense_replace", "moe_layer_start_index", default=0, least=0, most=MOST_LAYERS)
    last = f.count("moe_layer_end_index", default=layers - 1, least=0, most=MOST_LAYERS)
    every = f.count("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", "moe_layer_interval", default=1)
    excluded = f.numbers("mlp_only_layers") or []
    late = family in {"llama4_text", "qwen2_moe", "qwen3_moe", "ernie4_5_moe"}
    return [
        first <= i <= last and (i + 1 if late else i) % every == 0 and i not in excluded for i in range(layers)
    ]


def _positions(f: Fields, family: str) -> int:
    longest = f.count("n_positions", "max_position_embeddings", "max_seq_len", default=2048)
    return longest + 2 if family == "opt" else longest


def _context(f: Fields) -> int | None:
    longest = f.count(
        "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", default=0, least=0, most=10**12
    )
    return longest or None


def falcon(f: Fields, family: str) -> TransformerSpec:
    """Return a Falcon model: parallel blocks, one or few key-value heads."""
    s = shape(f)
    new = f.flag("new_decoder_architecture")
    kv = f.count("num_kv_heads", "n_head_kv", default=s["heads"]) if new else 1 if f.flag("multi_query", default=True) else s["heads"]
    bias = "all" if f.flag("bias") else "none"
    attention = Attention(heads=s["heads"], kv_heads=kv, head_dim=max(s["hidden"] // s["heads"], 1), bias=bias)
    mlp = Mlp(ffn=f.count("ffn_hidden_size", default=4 * s["hidden"]), gated=False, bias=f.flag("bias"))
    norms = f.count("num_ln_in_parallel_attn", default=2 if new else 1) if f.flag("parallel_attn", default=True) else 2
    return TransformerSpec(
        name="", hidden=s["hidden"], vocab=s["vocab"], norm="layer", tied=f.flag("tie_word_embeddings", default=True),
        blocks=(Block(count=s["layers"], parts=(attention, mlp), norms=norms),), max_context=_context(f),
    )  # fmt: skip


def chatglm(f: Fields, family: str) -> TransformerSpec:
    """Return a ChatGLM 2 or 3, or GLM-4 in its first format."""
    s = shape(f)
    kv = f.count("multi_query_group_num", default=s["heads"]) if f.flag("multi_query_attention") else s["heads"]
    dim = f.count("kv_channels", default=max(s["hidden"] // s["heads"], 1))
    bias = "qkv" if f.flag("add_qkv_bias") else "none"
    parts = (
        Attention(heads=s["heads"], kv_heads=kv, head_dim=dim, bias=bias),
        Mlp(ffn=f.count("ffn_hidden_size"), gated=True),
    )
    return TransformerSpec(
        name="", hidden=s["hidden"], vocab=f.count("padded_vocab_size", "vocab_size"),
        blocks=(Block(count=s["layers"], parts=parts),), max_context=_context(f),
    )  # fmt: skip


def qwen_1(f: Fields, family: str) -> TransformerSpec:
    """Return a Qwen of the first generation, whose stated MLP width counts gate and up projection together."""
    s = shape(f)
    dim = f.count("kv_channels", default=max(s["hidden"] // s["heads"], 1))
    attention = Attention(heads=s["heads"], kv_heads=s["heads"], head_dim=dim, bias="qkv")
    return TransformerSpec(
        name="", hidden=s["hidden"], vocab=s["vocab"], tied=f.flag("tie_word_embeddings"),
        blocks=(Block(count=s["layers"], parts=(attention, Mlp(ffn=f.count("intermediate_size") // 2))),),
        max_context=_context(f),
    )  # fmt: skip


def dbrx(f: Fields, family: str) -> TransformerSpec:
    """Return a DBRX: grouped-query attention and fine-grained experts, layer norms without bias."""
    s = shape(f)
    attention, ffn = f.inside("attn_config"), f.inside("ffn_config")
    parts = (
        Attention(
            heads=s["heads"], kv_heads=attention.count("kv_n_heads", default=1), head_dim=max(s["hidden"] // s["heads"], 1)
        ),
        Experts(experts=ffn.count("moe_num_experts"), chosen=ffn.count("moe_top_k"), ffn=ffn.count("ffn_hidden_size")),
    )
    return TransformerSpec(
        name="", hidden=s["hidden"], vocab=s["vocab"], norm="layer-nobias",
        blocks=(Block(count=s["layers"], parts=parts),), max_context=_context(f),
    )  # fmt: skip


BUILDERS: dict[str, Callable[[Fields, str], TransformerSpec]] = {
    **dict.fromkeys(FAMILIES, dense_or_sparse),
    "falcon": falcon,
    "chatglm": chatglm,
    "qwen": qwen_1,
    "dbrx": dbrx,
}


def runs(kinds: Iterable[Any]) -> list[tuple[Any, int]]:
    """Return a sequence as (value, how often in a row)."""
    return [(kind, len(list(group))) for kind, group in groupby(kinds)]
