"""What it costs to read a model and to count its work.

    python benchmarks/models.py

Best of several runs each; the files are 2 GB of zeros that take no room on disk, behind real headers.
"""

from __future__ import annotations

import json
import sys
import tempfile
import timeit
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/models"))

from files import GGUF_PAIRS, LLAMA, write_gguf, write_safetensors  # the writers that the tests use

from mlsysim.models import Models, lower
from mlsysim.models.importers import load_model
from mlsysim.models.registry import _rows

WIDE = {"hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128_000, "num_key_value_heads": 8}
POINTS = 10**6


def best(call, number=1):
    return min(timeit.repeat(call, number=number, repeat=5)) / number


def configuration(folder):
    """Write a configuration of 100 kB: that of a real model, and the labels that fill such files."""
    row = next(r for r in _rows() if r["name"] == "deepseek-v3")
    path = folder / "config.json"
    labels = {str(i): f"LABEL_{i}" for i in range(4300)}
    path.write_text(json.dumps({**json.loads(row["config"]), "id2label": labels}, indent=1))
    return path


def tensors(gguf):
    """Return the tensors of two wide layers, 16 bits each, and an embedding and head of 128,000 words: 2.9 GB."""
    h, f, k, v = 4096, 14336, 1024, 128_000
    shapes = {"embed": (v, h), "norm": (h,), "head": (v, h)}
    for i in range(2):
        shapes |= {f"{i}.q": (h, h), f"{i}.k": (k, h), f"{i}.v": (k, h), f"{i}.o": (h, h)}
        shapes |= {f"{i}.gate": (f, h), f"{i}.up": (f, h), f"{i}.down": (h, f), f"{i}.n1": (h,), f"{i}.n2": (h,)}
    names = {
        "embed": ("model.embed_tokens", "token_embd"), "norm": ("model.norm", "output_norm"),
        "head": ("lm_head", "output"),
        "q": ("self_attn.q_proj", "attn_q"), "k": ("self_attn.k_proj", "attn_k"), "v": ("self_attn.v_proj", "attn_v"),
        "o": ("self_attn.o_proj", "attn_output"), "gate": ("mlp.gate_proj", "ffn_gate"),
        "up": ("mlp.up_proj", "ffn_up"),
        "down": ("mlp.down_proj", "ffn_down"), "n1": ("input_layernorm", "attn_norm"),
        "n2": ("post_attention_layernorm", "ffn_norm"),
    }  # fmt: skip
    found = {}
    for key, shape in shapes.items():
        layer, _, part = key.rpartition(".")
        prefix = ("blk." if gguf else "model.layers.") + f"{layer}." if layer else ""
        name = f"{prefix}{names[part][gguf]}.weight"
        found[name] = (1, shape[::-1]) if gguf else ("BF16", shape)
    return found


def files(folder):
    """Return a GGUF and a safetensors file, each of some gigabytes, with the vocabulary of a real model."""
    words = [f"token {i}" for i in range(128_000)]
    merges = [f"ab {i}" for i in range(280_000)]
    pairs = {**GGUF_PAIRS, "llama.embedding_length": 4096, "llama.feed_forward_length": 14336}
    pairs |= {"llama.attention.head_count": 32, "llama.attention.head_count_kv": 8}
    pairs |= {"tokenizer.ggml.tokens": words, "tokenizer.ggml.merges": merges}
    (folder / "alone").mkdir()
    return (
        write_gguf(folder / "model.gguf", pairs, tensors(gguf=True)),
        write_safetensors(folder / "alone" / "model.safetensors", tensors(gguf=False)),
    )


def varint(value):
    """Return a whole number as protobuf writes it."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def onnx_file(folder):
    """Return an ONNX file of one product whose weights, 1.9 GB of its own, stand at its end; None without onnx."""
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError:
        return None
    rows, columns = 4096, 116_000
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, w]) for n, w in (("x", rows), ("y", columns))]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "wide", ends[:1], ends[1:])
    model = helper.make_model(graph)
    model.ClearField("graph")
    weights = 4 * rows * columns
    raw = b"\x4a" + varint(weights)  # field 9 of a tensor
    tensor = onnx.TensorProto(dims=[rows, columns], data_type=TensorProto.FLOAT, name="w").SerializeToString() + raw
    inner = graph.SerializeToString() + b"\x2a" + varint(len(tensor) + weights) + tensor  # field 5 of a graph
    path = folder / "wide.onnx"
    with path.open("wb") as file:
        file.write(model.SerializeToString() + b"\x3a" + varint(len(inner) + weights) + inner)  # field 7 of a model
        file.truncate(file.tell() + weights)
    return path


def main() -> None:
    """Print one row a figure: what, measured, bound, and whether it holds."""
    assert LLAMA["model_type"] == "llama"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(folder)
        gguf, safetensors = files(folder)
        load_model(config)
        rows = [
            (
                f"config.json of {config.stat().st_size / 1e3:.0f} kB",
                best(lambda: load_model(config), 10) * 1e3,
                5,
                "ms",
            )
        ]
        for model in ("llama-3.1-70b", "deepseek-v3", "jamba-1.5-large", "resnet-50", "whisper-large-v3"):
            phase = "forward" if model == "resnet-50" else "decode"
            spec = Models[model]
            spent = best(lambda s=spec, p=phase: lower(s, p, batch_size=8, seq_len=512, context=2048), 200) * 1e6
            rows.append((f"ledger of {model}", spent, 200, "µs"))
        for path in filter(None, (gguf, safetensors, onnx_file(folder))):
            spent = best(lambda p=path: load_model(p)) * 1e3
            tracemalloc.start()
            load_model(path)
            grown = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            size = path.stat().st_size / 1e9
            rows += [(f"{path.suffix} of {size:.1f} GB", spent, 100, "ms"), ("  memory that it adds", grown, 100, "MB")]
        batch, context = np.random.default_rng(1).integers(1, 10_000, (2, POINTS))
        spec = Models["llama-3.1-70b"]

        def million() -> object:
            work = lower(spec, "decode", batch_size=batch, seq_len=1, context=context)
            return work.flops, work.traffic(5e7)

        rows.append(("10^6 points of one transformer", best(million), 0.5, "s"))
    for what, value, bound, unit in rows:
        verdict = "ok" if value <= bound else "ABOVE"
        print(f"{what:35} {value:8.3g} {unit:2}  bound {bound} {unit}  {value / bound:5.0%}  {verdict}")


if __name__ == "__main__":
    main()
