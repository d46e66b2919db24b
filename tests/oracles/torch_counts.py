"""Count parameters and FLOPs of transformers' own modules with PyTorch, and freeze them for the ordinary tests.

    make test-oracles          # compares, in an environment of its own with torch and transformers
    python tests/oracles/torch_counts.py --write

Parameters are those of the module at its published size, built on the meta device. FLOPs are those that
``torch.utils.flop_counter`` counts in a small copy of it, forward for each class of operators, forward + backward for
each kind of product; eager attention computes masked pairs too, so that they compare with the full-attention
convention.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

FROZEN = Path(__file__).parent / "torch_counts.jsonl"
BATCH, TOKENS, TARGET = 2, 48, 16
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 96, "vocab_size": 250, "max_position_embeddings": 128,
}  # fmt: skip
MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}
ARCHITECTURES = {
    "llama": SMALL,
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 250, "n_positions": 128},
    "bert": {**SMALL, "num_key_value_heads": None, "head_dim": None},
    "mixtral": {**SMALL, **MOE},
    "deepseek_v3": {
        **SMALL, "num_key_value_heads": 4, "head_dim": None, "q_lora_rank": 24, "kv_lora_rank": 16,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 8, "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1, "num_hidden_layers": 3,
    },
    "qwen3": SMALL,
    "qwen3_moe": {**SMALL, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "gemma3_text": {**SMALL, "num_hidden_layers": 6, "sliding_window": 16},
    "gpt_oss": {**SMALL, **MOE, "sliding_window": 16},
    "mamba2": {
        "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 250, "num_heads": 8, "head_dim": 16, "state_size": 16,
        "n_groups": 2, "expand": 2, "chunk_size": 16,
    },
    "vit": {
        "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96, "image_size": 32,
        "patch_size": 8, "num_labels": 10,
    },
    "t5": {"d_model": 64, "num_layers": 2, "num_heads": 4, "d_kv": 16, "d_ff": 96, "vocab_size": 250},
    "whisper": {
        "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "vocab_size": 250,
        "num_mel_bins": 8, "max_source_positions": 24, "max_target_positions": 32, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    },
}  # fmt: skip
CLASSES = (
    (r"(lm_head|proj_out|classifier)$", "head"),
    (r"pooler\.dense$", "head"),
    (r"(conv1|conv2|patch_embeddings\.projection)$", "stem"),
    (r"conv1d$", "conv"),
    (r"in_proj$", "ssm.in"),
    (r"out_proj$|mixer\.out_proj$", "out"),
    (r"([qkv]_proj|c_attn|query|key|value|q_[ab]_proj|kv_a_proj_with_mqa|kv_b_proj|\.[qkv])$", "qkv"),
    (r"(o_proj|attn\.c_proj|attention\.output\.dense|\.o)$", "out"),
    (r"(gate|router|mlp\.gate)$", "router"),
    (r"experts$", "experts"),
    (r"(gate_proj|up_proj|down_proj|c_fc|mlp\.c_proj|intermediate\.dense|output\.dense|fc1|fc2|\.wi|\.wo)$", "mlp"),
    (r"(self_attn|attn|attention\.self|encoder_attn|SelfAttention|EncDecAttention|attention)$", "core"),
)  # fmt: skip
KEPT = re.compile(
    r"^(_|transformers_version|architectures|id2label|label2id|dtype|torch_dtype|.*_token_id|.*token_ids|rope)"
)


def module(config, device):
    """Return the module of a configuration, with eager attention and experts."""
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    kind = {
        "bert": transformers.AutoModel,
        "vit": transformers.AutoModelForImageClassification,
        "t5": transformers.AutoModelForSeq2SeqLM,
        "whisper": transformers.AutoModelForSpeechSeq2Seq,
    }.get(config.model_type, transformers.AutoModelForCausalLM)
    with torch.device(device):
        return kind.from_config(config)


def inputs(config):
    """Return inputs for a module and the sizes they stand for."""
    ids = torch.zeros(BATCH, TOKENS, dtype=torch.long) + 3
    target = torch.zeros(BATCH, TARGET, dtype=torch.long) + 3
    if config.model_type == "vit":
        return {"pixel_values": torch.rand(BATCH, 3, config.image_size, config.image_size)}
    if config.model_type == "t5":
        return {"input_ids": ids, "decoder_input_ids": target}
    if config.model_type == "whisper":
        frames = 2 * config.max_source_positions
        return {"input_features": torch.rand(BATCH, config.num_mel_bins, frames), "decoder_input_ids": target}
    return {"input_ids": ids}


def by_class(counter):
    """Return the forward FLOPs of each class of operators: of every module without those inside it."""
    inclusive = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items() if name != "Global"}
    own = dict(inclusive)
    for name, flops in inclusive.items():
        outer = [n for n in inclusive if name.startswith(n + ".")]
        if outer:
            own[max(outer, key=len)] -= flops
    found = defaultdict(int)
    for name, flops in own.items():
        if flops:
            found[next((word for pattern, word in CLASSES if re.search(pattern, name)), name)] += flops
    return dict(found)


def by_operator(counter):
    """Return FLOPs by what PyTorch calls the operator: products with weights, products of activations, convolutions.

    In the backward pass a product of gradients belongs to no module; which operator it is remains.
    """
    found = defaultdict(int)
    for op, flops in counter.get_flop_counts()["Global"].items():
        word = str(op).rpartition(".")[2]
        found[
            {"mm": "weights", "addmm": "weights", "bmm": "activations", "baddbmm": "activations"}.get(word, "conv")
        ] += flops
    return dict(found)


def count(architecture, small):
    """Return the frozen record of one architecture."""
    published = AutoConfig.for_model(architecture)
    if architecture == "vit":
        published.num_labels = 1000
    config = AutoConfig.for_model(architecture, **{k: v for k, v in small.items() if v is not None})
    if architecture == "vit":
        config.num_labels = small["num_labels"]
    net = module(config, "cpu").train()
    for name in ("attention_dropout", "dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "layerdrop"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    flops = {}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(**inputs(config), **({} if architecture in {"bert", "vit"} else {"use_cache": False}))
    flops["forward"] = by_class(counter)
    with FlopCounterMode(display=False) as counter:
        out = net(**inputs(config), **({} if architecture in {"bert", "vit"} else {"use_cache": False}))
        loss = out.pooler_output if architecture == "bert" else out.logits
        loss.float().sum().backward()
    flops["training"] = by_operator(counter)
    return {
        "architecture": architecture,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "published": plain(published),
        "parameters": sum(p.numel() for p in module(published, "meta").parameters()),
        "small": plain(config),
        "small_parameters": sum(p.numel() for p in net.parameters()),
        "flops": flops,
    }


def plain(config):
    """Return the fields of a configuration that say something about size or work."""
    values = json.loads(config.to_json_string(use_diff=False))
    return {k: v for k, v in values.items() if v is not None and not KEPT.match(k)} | (
        {"num_labels": config.num_labels} if config.model_type == "vit" else {}
    )


def main():
    """Compare what PyTorch counts today with what is frozen, or write it."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    records = [count(name, small) for name, small in ARCHITECTURES.items()]
    if "--write" in sys.argv:
        FROZEN.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
        return
    frozen = [json.loads(line) for line in FROZEN.read_text(encoding="utf-8").splitlines()]
    wrong = [
        r["architecture"]
        for r, f in zip(records, frozen, strict=True)
        if any(r[k] != f[k] for k in ("architecture", "parameters", "small_parameters", "flops"))
    ]
    print(f"{len(records) - len(wrong)} passed, {len(wrong)} failed" + (f": {', '.join(wrong)}" if wrong else ""))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
