"""How families of decoders differ from the plain one, as data.

The plain decoder has RMS norms, a gated MLP, no biases and rotary positions, as LLaMA has. A family's traits say what
holds where its configuration is silent; what the configuration states wins. They are those of the modules in Hugging
Face transformers, to whose parameter counts the tests hold them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """How a family differs from the plain decoder.

    ``bias`` of attention where the field ``biased_by`` says so (``biased`` where it is silent; always if there is no
    such field); ``norms`` a block; ``qk_norm`` and the form it has where a field asks for it (``stated_norm``);
    ``every_full`` the distance of full-attention layers among windowed ones; ``windowed`` whether a stated window is
    used unless a field says otherwise; ``ffn_times`` the MLP's width over the hidden size where none is stated. Of
    mixtures of experts (``sparse``: a file must state how many), ``late`` counts layers from 1 in choosing which are
    sparse; ``latent`` families must state the sizes of latent attention.
    """

    norm: str = "rms"
    norms: int = 2
    gated: bool = True
    tied: bool = False
    bias: str = "none"
    biased_by: str = ""
    biased: bool = False
    mlp_bias: bool = False
    mlp_biased_by: str = "mlp_bias"
    qk_norm: str = "none"
    stated_norm: str = "head"
    head_dim: int = 0
    ffn_times: int = 0
    multi_query: bool = False
    positions: bool = False
    extra_positions: int = 0
    embedding_norm: bool = False
    head_bias: bool = False
    sinks: bool = False
    every_full: int = 0
    windowed: bool = True
    expert_bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    late: bool = False
    sparse: bool = False
    latent: bool = False


_BIASED = {"bias": "all", "biased_by": "attention_bias"}
_GPT = {"norm": "layer", "gated": False, "mlp_bias": True, "ffn_times": 4}
_GPT_BIASED = {**_GPT, "tied": True, "bias": "all"}

FAMILIES: dict[str, Traits] = {
    "llama": Traits(bias="all", biased_by="attention_bias"),
    "mistral": Traits(),
    "ministral": Traits(),
    "qwen2": Traits(bias="qkv", windowed=False),
    "qwen3": Traits(**_BIASED, qk_norm="head", head_dim=128, windowed=False),  # type: ignore[arg-type]
    "gemma": Traits(tied=True, head_dim=256),
    "gemma2": Traits(tied=True, head_dim=256, norms=4, every_full=2),
    "gemma3_text": Traits(tied=True, head_dim=256, norms=4, qk_norm="head", every_full=6),
    "phi3": Traits(),
    "phi": Traits(norm="layer", norms=1, gated=False, bias="all", mlp_bias=True, head_bias=True),
    "stablelm": Traits(norm="layer", bias="qkv", biased_by="use_qkv_bias", stated_norm="full"),
    "starcoder2": Traits(norm="layer", gated=False, tied=True, bias="all", mlp_bias=True),
    "olmo": Traits(norm="none"),
    "olmo2": Traits(qk_norm="full"),
    "olmo3": Traits(qk_norm="full", every_full=4),
    "cohere": Traits(norm="layer-nobias", norms=1, tied=True, stated_norm="full"),
    "cohere2": Traits(norm="layer-nobias", norms=1, tied=True, stated_norm="full", every_full=4),
    "granite": Traits(bias="all", biased_by="attention_bias"),
    "internlm2": Traits(bias="all", biased_by="bias", biased=True),
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
    "ernie4_5": Traits(tied=True, bias="all", biased_by="use_bias", mlp_biased_by="use_bias"),
    "gpt2": Traits(**_GPT_BIASED, positions=True),  # type: ignore[arg-type]
    "gpt_bigcode": Traits(**_GPT_BIASED, positions=True, multi_query=True),  # type: ignore[arg-type]
    "gptj": Traits(**_GPT, norms=1, head_bias=True),  # type: ignore[arg-type]
    "gpt_neox": Traits(**_GPT, bias="all", biased_by="attention_bias", biased=True),  # type: ignore[arg-type]
    "opt": Traits(**_GPT_BIASED, positions=True, extra_positions=2),  # type: ignore[arg-type]
    "bloom": Traits(**_GPT_BIASED, embedding_norm=True),  # type: ignore[arg-type]
    "mixtral": Traits(sparse=True),
    "qwen2_moe": Traits(bias="qkv", windowed=False, shared_gate=True, late=True, sparse=True),
    "qwen3_moe": Traits(**_BIASED, qk_norm="head", windowed=False, late=True, sparse=True),  # type: ignore[arg-type]
    "olmoe": Traits(qk_norm="full", sparse=True),
    "phimoe": Traits(norm="layer", bias="all", biased_by="attention_bias", sparse=True),
    "granitemoe": Traits(sparse=True),
    "minimax_m2": Traits(qk_norm="full", windowed=False, sparse=True),
    "glm4_moe": Traits(bias="qkv", biased_by="attention_bias", sparse=True),
    "gpt_oss": Traits(
        bias="all", head_dim=64, every_full=2, sinks=True, expert_bias=True, router_bias=True, sparse=True
    ),
    "ernie4_5_moe": Traits(tied=True, bias="all", biased_by="use_bias", router_bias=True, late=True, sparse=True),
    "hunyuan_v1_moe": Traits(qk_norm="head", sparse=True),
    "dots1": Traits(qk_norm="head", sparse=True),
    "deepseek_v2": Traits(sparse=True, latent=True),
    "deepseek_v3": Traits(sparse=True, latent=True),
    "deepseek_v32": Traits(sparse=True, latent=True),
    "kimi_k2": Traits(sparse=True, latent=True),
}
ALIKE = {
    "aquila": "llama",
    "Yi": "llama",
    "internlm": "internlm2",
    "gemma3": "gemma3_text",
    "llama4": "llama4_text",
    "mistral3": "mistral",
    "qwen2_vl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
}
"""Model types that are built like another."""
