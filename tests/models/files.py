"""Files of weights for the tests, written by hand from the formats' descriptions."""

import json
import struct


def write_safetensors(path, tensors, metadata=None):
    """Write a safetensors file whose tensors are zeros: {name: (dtype, shape)}."""
    bits = {"F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "U8": 8, "I32": 32}
    header, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, (kind, shape) in tensors.items():
        size = bits[kind] // 8
        for n in shape:
            size *= n
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)  # zeros that take no room on disk
    return path


def gguf_string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def gguf_value(value):
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_string(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(gguf_string, value))
    return struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)


def write_gguf(path, pairs, tensors, version=3):
    """Write a GGUF file whose tensors are zeros: {name: (ggml type, shape with the fastest dimension first)}."""
    block = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 14: (256, 210), 30: (1, 2)}
    body, at = b"", 0
    for name, (kind, shape) in tensors.items():
        values, size = block[kind]
        body += gguf_string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        body += struct.pack("<IQ", kind, at)
        count = 1
        for n in shape:
            count *= n
        at += count // values * size
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(gguf_string(key) + gguf_value(value) for key, value in pairs.items()) + body
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 64 + at)
    return path


LLAMA = {
    "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 8,
    "num_key_value_heads": 2, "intermediate_size": 512, "vocab_size": 1024,
    "max_position_embeddings": 2048, "tie_word_embeddings": False,
}  # fmt: skip
"""A small Llama; its parameters: 2 x (256 x (256 + 128) + 256 x 256 + 3 x 256 x 512 + 512) + 256 + 2 x 1024 x 256."""
LLAMA_PARAMETERS = 2 * (256 * 384 + 256 * 256 + 3 * 256 * 512 + 512) + 256 + 2 * 1024 * 256


def llama_tensors(kind="BF16"):
    """Return the tensors of the small Llama as transformers names them."""
    found = {
        "model.embed_tokens.weight": (kind, (1024, 256)),
        "model.norm.weight": (kind, (256,)),
        "lm_head.weight": (kind, (1024, 256)),
    }
    for i in range(2):
        at = f"model.layers.{i}."
        found |= {
            at + "self_attn.q_proj.weight": (kind, (256, 256)), at + "self_attn.k_proj.weight": (kind, (64, 256)),
            at + "self_attn.v_proj.weight": (kind, (64, 256)), at + "self_attn.o_proj.weight": (kind, (256, 256)),
            at + "mlp.gate_proj.weight": (kind, (512, 256)), at + "mlp.up_proj.weight": (kind, (512, 256)),
            at + "mlp.down_proj.weight": (kind, (256, 512)), at + "input_layernorm.weight": (kind, (256,)),
            at + "post_attention_layernorm.weight": (kind, (256,)),
        }  # fmt: skip
    return found


GGUF_PAIRS = {
    "general.architecture": "llama", "general.name": "Small", "llama.block_count": 2, "llama.embedding_length": 256,
    "llama.attention.head_count": 8, "llama.attention.head_count_kv": 2, "llama.feed_forward_length": 512,
    "llama.context_length": 2048, "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": [f"t{i}" for i in range(1024)], "tokenizer.ggml.add_bos_token": True,
}  # fmt: skip


def llama_gguf_tensors(kind=12, other=0):
    """Return the tensors of the small Llama as llama.cpp names them, fastest dimension first."""
    found = {
        "token_embd.weight": (kind, (256, 1024)),
        "output_norm.weight": (other, (256,)),
        "output.weight": (14, (256, 1024)),
    }
    for i in range(2):
        at = f"blk.{i}."
        found |= {
            at + "attn_q.weight": (kind, (256, 256)), at + "attn_k.weight": (kind, (256, 64)),
            at + "attn_v.weight": (kind, (256, 64)), at + "attn_output.weight": (kind, (256, 256)),
            at + "ffn_gate.weight": (kind, (256, 512)), at + "ffn_up.weight": (kind, (256, 512)),
            at + "ffn_down.weight": (kind, (512, 256)), at + "attn_norm.weight": (other, (256,)),
            at + "ffn_norm.weight": (other, (256,)),
        }  # fmt: skip
    return found
