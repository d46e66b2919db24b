"""Decoder-only transformers from their published configuration: dense, mixtures of experts, latent attention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from mlsysim.models.importers.families import FAMILIES, Traits
from mlsysim.models.importers.fields import MOST_LAYERS, Fields
from mlsysim.models.parts import Attention, Experts, LatentAttention, Mlp, Part
from mlsysim.models.spec import Block, TransformerSpec

LAYER_KINDS = ("full_attention", "sliding_attention", "chunked_attention", "linear_attention", "mamba", "attention")
EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")
_SHARED = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
Sizes = dict[str, int]


def shape(f: Fields) -> Sizes:
    """Return the sizes that every transformer states, in whichever spelling."""
    return {
        "layers": f.count("num_hidden_layers", "n_layer", "n_layers", "num_layers", most=MOST_LAYERS),
        "hidden": f.count("hidden_size", "n_embd", "n_embed", "d_model"),
        "heads": f.count("num_attention_heads", "n_head", "n_heads"),
        "vocab": f.count("vocab_size", "padded_vocab_size"),
    }


def context(f: Fields) -> int | None:
    """Return the longest context that the model was made for [tokens]."""
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length")
    return f.count(*names, default=0, least=0, most=10**12) or None


def plain(f: Fields, parts: tuple[Part, ...], s: Sizes, **more: Any) -> TransformerSpec:
    """Return a model of one kind of block."""
    norms = more.pop("norms", 2)
    blocks = (Block(count=s["layers"], parts=parts, norms=norms),)
    sizes = {"hidden": s["hidden"], "vocab": s["vocab"], "max_context": context(f)}
    return TransformerSpec(name="", blocks=blocks, **{**sizes, **more})


def family_member(f: Fields) -> TransformerSpec:
    """Return the spec of any family in :data:`FAMILIES`."""
    t, s = FAMILIES[f.family], shape(f)
    mixers: Sequence[Part]
    if t.latent or (f.has("kv_lora_rank") and f.has("qk_rope_head_dim")):
        mixers = [latent(f, s)] * s["layers"]
    else:
        mixers = reaching(f, t, attention(f, t, s), s["layers"])
    parallel = f.flag("use_parallel_residual") and t.norms == 2 and f.family == "stablelm"
    return TransformerSpec(
        name="",
        hidden=s["hidden"],
        vocab=s["vocab"],
        blocks=grouped(zip(mixers, mlps(f, t, s), strict=True), 1 if parallel else t.norms),
        norm=t.norm,
        tied=f.flag("tie_word_embeddings", "tie_embeddings", default=t.tied),
        positions=_positions(f, t),
        embedding_norm=t.embedding_norm,
        head_bias=f.flag("lm_head_bias", default=t.head_bias),
        mtp=f.count("num_nextn_predict_layers", "num_mtp_modules", default=0, least=0, most=64),
        max_context=context(f),
    )


def grouped(
    layers: Iterable[tuple[Part, ...]], norms: int, name: Callable[[tuple[Part, ...]], str] | None = None
) -> tuple[Block, ...]:
    """Return blocks of the same parts counted together; where there are several kinds, each has a name."""
    counts: dict[tuple[Part, ...], int] = {}
    for parts in layers:
        counts[parts] = counts.get(parts, 0) + 1
    kinds = list(counts)
    label = (lambda _: "") if len(kinds) == 1 else name or (lambda parts: _name(parts, kinds))
    return tuple(Block(count=n, parts=parts, norms=norms, name=label(parts)) for parts, n in counts.items())


def _name(parts: tuple[Part, ...], kinds: Sequence[tuple[Part, ...]]) -> str:
    """Return what tells a block from the others: its reach where that differs, dense or sparse where that does."""
    words = []
    if len({k[0] for k in kinds}) > 1:
        mixer = parts[0]
        words.append("local" if isinstance(mixer, Attention) and (mixer.window or mixer.chunk) else "global")
    if len({k[-1] for k in kinds}) > 1:
        words.append("sparse" if isinstance(parts[-1], Experts) else "dense")
    return "-".join(words)


def head_dim(f: Fields, s: Sizes, usual: int = 0) -> int:
    """Return the width of a head: stated, usual for the family, or the hidden size over the heads."""
    names = ("head_dim", "kv_channels")
    if usual or f.has(*names) or f.usual.keys() & set(names):
        return f.count(*names, default=usual or None)
    return f.each_head(s["hidden"], s["heads"])


def attention(f: Fields, t: Traits, s: Sizes) -> Attention:
    """Return the attention of a family, before its reach."""
    heads = s["heads"]
    every = 1 if t.multi_query and f.flag("multi_query", default=True) else heads
    kv = f.count("num_key_value_heads", "num_kv_heads", default=every)
    if heads % kv and not f.wrong & {"num_attention_heads", "n_head", "num_key_value_heads"}:
        f.problem("num_key_value_heads", f"a divisor of the {heads} query heads", kv)
    biased = not t.biased_by or f.flag(t.biased_by, default=t.biased)
    norm = t.qk_norm
    if f.has("use_qk_norm", "qk_layernorm"):
        norm = (
            (t.qk_norm if t.qk_norm != "none" else t.stated_norm) if f.flag("use_qk_norm", "qk_layernorm") else "none"
        )
    return Attention(
        heads=heads,
        kv_heads=kv,
        head_dim=head_dim(f, s, t.head_dim),
        bias=t.bias if biased else "none",
        qk_norm=norm,
        sinks=t.sinks,
    )


def latent(f: Fields, s: Sizes) -> LatentAttention:
    """Return multi-head latent attention."""
    return LatentAttention(
        heads=s["heads"],
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


def reaching(f: Fields, t: Traits, mixer: Attention, layers: int) -> list[Attention]:
    """Return the attention of every layer with its window or chunk."""
    window = f.count("sliding_window", default=0, least=0)
    if not t.windowed and not f.flag("use_sliding_window"):
        window = 0
    chunk = f.count("attention_chunk_size", default=0, least=0)
    kinds = f.words("layer_types", LAYER_KINDS, layers)
    if kinds is None and chunk:
        rotary = f.numbers("no_rope_layers") or [int((i + 1) % 4 != 0) for i in range(layers)]
        kinds = ["chunked_attention" if i < len(rotary) and rotary[i] else "full_attention" for i in range(layers)]
    if kinds is None and window:
        every = f.count("sliding_window_pattern", "_sliding_window_pattern", default=t.every_full, least=0)
        first = f.count("max_window_layers", default=0, least=0)
        full = [bool(every and (i + 1) % every == 0) or i < first for i in range(layers)]
        kinds = ["full_attention" if here else "sliding_attention" for here in full]
    near = {"sliding_attention": replace(mixer, window=window), "chunked_attention": replace(mixer, chunk=chunk)}
    return [near.get(kind, mixer) for kind in kinds or ["full_attention"] * layers]


def mlps(f: Fields, t: Traits, s: Sizes) -> list[Mlp | Experts]:
    """Return the MLP of every layer, or its experts."""
    layers = s["layers"]
    wide = f.count(
        "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=t.ffn_times * s["hidden"] or None
    )
    dense = Mlp(ffn=wide, gated=t.gated, bias=f.flag(t.mlp_biased_by, default=t.mlp_bias))
    experts = f.count(*EXPERTS, default=None if t.sparse else 0, least=int(t.sparse))
    if not experts:
        return [dense] * layers
    sparse = Experts(
        experts=experts,
        chosen=chosen_of(f, experts, "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"),
        ffn=f.count("moe_intermediate_size", default=wide),
        gated=t.gated,
        bias=t.expert_bias,
        router_bias=t.router_bias,
        shared=f.count(*_SHARED, default=0, least=0),
        shared_ffn=f.count("shared_expert_intermediate_size", "shared_intermediate_size", default=0, least=0),
        shared_gate=t.shared_gate,
    )
    return [sparse if here else dense for here in _sparse_layers(f, t, layers)]


def chosen_of(f: Fields, experts: int, *names: str) -> int:
    """Return how many experts a token is sent to: at most all."""
    spelled = names or ("num_experts_per_tok",)
    chosen = f.count(*spelled)
    if chosen > experts:
        f.problem(spelled[0], f"at most the {experts} experts", chosen)
    return min(chosen, experts)


def _sparse_layers(f: Fields, t: Traits, layers: int) -> list[bool]:
    """Return which layers have experts."""
    stated = f.words("mlp_layer_types", ("dense", "sparse"), layers)
    if stated is not None:
        return [kind == "sparse" for kind in stated]
    first = f.count("first_k_dense_replace", "moe_layer_start_index", default=0, least=0, most=layers)
    last = f.count("moe_layer_end_index", default=layers - 1, least=0, most=MOST_LAYERS)
    every = f.count("decoder_sparse_step", "moe_layer_freq", "moe_layer_interval", default=1)
    excluded = f.numbers("mlp_only_layers") or []
    return [first <= i <= last and (i + t.late) % every == 0 and i not in excluded for i in range(layers)]


def _positions(f: Fields, t: Traits) -> int:
    return f.count("n_positions", "max_position_embeddings") + t.extra_positions if t.positions else 0


def llama_4(f: Fields) -> TransformerSpec:
    """Return a Llama 4: attention in chunks in three of four layers, one shared and one routed expert."""
    s = shape(f)
    mixer = attention(f, Traits(head_dim=128), s)
    mixer = replace(mixer, qk_norm="none")  # its norm of queries and keys has no weights
    wide = f.count("intermediate_size")
    dense = Mlp(ffn=f.count("intermediate_size_mlp", default=wide))
    experts = f.count(*EXPERTS)
    sparse = Experts(experts=experts, chosen=chosen_of(f, experts), ffn=wide, shared=1)
    every = f.count("interleave_moe_layer_step", default=1)
    where = f.numbers("moe_layers") or [i for i in range(s["layers"]) if (i + 1) % every == 0]
    layers = zip(
        reaching(f, Traits(), mixer, s["layers"]),
        [sparse if i in where else dense for i in range(s["layers"])],
        strict=True,
    )
    return TransformerSpec(
        name="",
        hidden=s["hidden"],
        vocab=s["vocab"],
        blocks=grouped(layers, 2),
        tied=f.flag("tie_word_embeddings"),
        max_context=context(f),
    )


def mpt(f: Fields) -> TransformerSpec:
    """Return an MPT: no biases unless stated, learned positions unless ALiBi."""
    s, inner = shape(f), f.inside("attn_config")
    biased = not f.flag("no_bias", default=True)
    mixer = Attention(
        heads=s["heads"],
        kv_heads=inner.count("kv_n_heads", default=s["heads"]),
        head_dim=head_dim(f, s),
        bias="all" if biased else "none",
    )
    mlp = Mlp(ffn=int(f.real("expansion_ratio", 4.0) * s["hidden"]), gated=False, bias=biased)
    return plain(
        f,
        (mixer, mlp),
        s,
        norm="layer" if biased else "layer-nobias",
        tied=f.flag("tie_word_embeddings", default=True),
        positions=0 if inner.flag("alibi", default=True) else f.count("max_seq_len"),
    )


def falcon(f: Fields) -> TransformerSpec:
    """Return a Falcon: parallel blocks, one or few key-value heads."""
    s = shape(f)
    new, biased = f.flag("new_decoder_architecture"), f.flag("bias")
    kv = 1 if f.flag("multi_query", default=True) else s["heads"]
    if new:
        kv = f.count("num_kv_heads", "n_head_kv", default=s["heads"])
    mixer = Attention(heads=s["heads"], kv_heads=kv, head_dim=head_dim(f, s), bias="all" if biased else "none")
    mlp = Mlp(ffn=f.count("ffn_hidden_size", default=4 * s["hidden"]), gated=False, bias=biased)
    parallel = f.flag("parallel_attn", default=True)
    norms = f.count("num_ln_in_parallel_attn", default=2 if new else 1) if parallel else 2
    return plain(f, (mixer, mlp), s, norms=norms, norm="layer", tied=f.flag("tie_word_embeddings", default=True))


def chatglm(f: Fields) -> TransformerSpec:
    """Return a ChatGLM 2 or 3, or GLM-4 in its first format."""
    s = shape(f)
    kv = f.count("multi_query_group_num", default=s["heads"]) if f.flag("multi_query_attention") else s["heads"]
    mixer = Attention(
        heads=s["heads"], kv_heads=kv, head_dim=head_dim(f, s), bias="qkv" if f.flag("add_qkv_bias") else "none"
    )
    return plain(f, (mixer, Mlp(ffn=f.count("ffn_hidden_size"))), s, vocab=f.count("padded_vocab_size", "vocab_size"))


def qwen_1(f: Fields) -> TransformerSpec:
    """Return a Qwen of the first generation, whose stated MLP width counts gate and up projection together."""
    s = shape(f)
    mixer = Attention(heads=s["heads"], kv_heads=s["heads"], head_dim=head_dim(f, s), bias="qkv")
    return plain(f, (mixer, Mlp(ffn=f.count("intermediate_size") // 2)), s, tied=f.flag("tie_word_embeddings"))


def dbrx(f: Fields) -> TransformerSpec:
    """Return a DBRX: grouped-query attention and fine-grained experts, layer norms without bias."""
    s, ffn = shape(f), f.inside("ffn_config")
    mixer = Attention(
        heads=s["heads"],
        kv_heads=f.inside("attn_config").count("kv_n_heads", default=1),
        head_dim=head_dim(f, s),
    )
    experts = Experts(
        experts=ffn.count("moe_num_experts"),
        chosen=chosen_of(ffn, ffn.count("moe_num_experts"), "moe_top_k"),
        ffn=ffn.count("ffn_hidden_size"),
    )
    return plain(f, (mixer, experts), s, norm="layer-nobias")


BUILDERS: dict[str, Callable[[Fields], TransformerSpec]] = {
    **dict.fromkeys(FAMILIES, family_member),
    "llama4_text": llama_4,
    "mpt": mpt,
    "falcon": falcon,
    "chatglm": chatglm,
    "qwen": qwen_1,
    "dbrx": dbrx,
}
