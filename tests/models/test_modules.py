"""Modules of PyTorch and functions of JAX as specs; run by ``make test-oracles``, where both are installed."""

import sys

import pytest

from mlsysim import Engine, Models, from_jax, from_torch
from mlsysim.errors import InvalidValue, MissingExtra


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def test_a_small_network_by_hand(torch):
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 10)
    )
    spec = from_torch(net, torch.zeros(2, 3, 16, 16), name="small", sample="image", batch_size=2)
    rows = {row.name: row for row in spec.table}
    assert rows["0.convolution"].macs == 16 * 16 * 8 * 3 * 9
    assert rows["4.addmm"].macs == 8 * 256 * 10
    assert (rows["0.convolution"].kind, rows["4.addmm"].kind) == ("conv", "linear")
    assert spec.parameters == sum(p.numel() for p in net.parameters())
    assert spec.macs == 16 * 16 * 8 * 27 + 20480
    assert Engine.solve(spec, "h100", efficiency=0.1).throughput_unit == "images/s"


def test_shared_and_looked_up_parameters_count_once(torch):
    nn = torch.nn

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(100, 16), nn.Linear(16, 100, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(self.embed(ids))

    spec = from_torch(Tied(), torch.zeros(1, 5, dtype=torch.long))
    assert spec.parameters == 1600
    assert spec.table[0].touched == 5 * 16
    assert spec.macs == 5 * 16 * 100


def test_a_module_is_not_changed_and_holds_no_room(torch):
    with torch.device("meta"):
        net = torch.nn.Linear(2**18, 2**18)  # 256 GB, nowhere
    spec = from_torch(net.train(), torch.zeros(1, 2**18))
    assert spec.parameters == 2**36 + 2**18
    assert net.training
    assert all(p.device.type == "meta" for p in net.parameters())


def test_parameters_that_the_inputs_do_not_reach_are_kept(torch):
    class Spare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = torch.nn.Linear(4, 4), torch.nn.Linear(8, 8)

        def forward(self, x):
            return self.used(x)

    spec = from_torch(Spare(), torch.zeros(1, 4))
    assert spec.parameters == 20 + 72
    assert spec.active_parameters == 20


def test_a_module_that_looks_into_its_data_is_refused_with_its_own_words(torch):
    class Peeks(torch.nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    with pytest.raises(InvalidValue, match=r"module must be one that runs on the meta device, got 'Peeks'"):
        from_torch(Peeks(), torch.zeros(3))


def test_a_module_of_transformers_has_the_flops_of_the_spec(torch):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from mlsysim.models import lower
    from mlsysim.models.importers.config import spec_of

    config = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=4, vocab_size=250)
    config._attn_implementation = "eager"
    table = from_torch(transformers.GPT2LMHeadModel(config), torch.zeros(1, 32, dtype=torch.long))
    spec = spec_of(config.to_dict(), "config.json", "gpt2")
    work = lower(spec, "training", batch_size=1, seq_len=32, context=0, full_attention=True)
    assert table.parameters == spec.parameters
    assert 2 * table.macs == work.flops / 3


def test_a_jax_function_by_hand():
    jax = pytest.importorskip("jax", reason="JAX is not installed")

    def dense(weights, x):
        return x @ weights["w"] + weights["b"]

    shapes = {"w": jax.ShapeDtypeStruct((64, 32), "float32"), "b": jax.ShapeDtypeStruct((32,), "float32")}
    spec = from_jax(dense, shapes, jax.ShapeDtypeStruct((8, 64), "float32"), sample="row", batch_size=8)
    assert spec.parameters == 64 * 32 + 32
    # 2 x 64 x 32 FLOPs a row and 32 additions of the bias.
    assert 2 * spec.macs == pytest.approx(2 * 64 * 32 + 32, rel=0.01)
    with pytest.raises(InvalidValue, match="one that JAX can trace with these inputs"):
        from_jax(dense, shapes, jax.ShapeDtypeStruct((8, 65), "float32"))


@pytest.mark.parametrize(("library", "read"), [("torch", from_torch), ("jax", from_jax)])
def test_without_the_library_the_sentence_says_how_to_get_it(monkeypatch, library, read):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=f"pip install {library}"):
        read(Models, 1)
