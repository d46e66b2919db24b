"""The guide: the six classical rows, each beside what is published and what physics allows."""

import pytest

from mlsysim import Efficiency, Engine
from mlsysim.errors import UnknownName

CLASSICAL = [
    ("training (Megatron-LM, large Transformer)", 0.40, 0.55),
    ("training (PyTorch eager, small model)", 0.08, 0.15),
    ("inference decode, batch 1", 0.01, 0.05),
    ("inference decode, batch 32+", 0.15, 0.35),
    ("inference prefill, long context", 0.30, 0.50),
    ("TinyML (TFLite Micro on ESP32)", 0.05, 0.15),
]


def test_the_six_classical_rows():
    assert [(g.scenario, g.low, g.high) for g in Efficiency.guide()] == CLASSICAL
    assert all(g.rationale and g.verdict and g.measured.n for g in Efficiency.guide())


def test_a_row_that_physics_excludes_says_so():
    decode = Efficiency.guide("h100")[2]
    assert decode.ceiling == pytest.approx(Engine.solve("llama-3.1-8b", "h100", phase="decode").efficiency.ceiling)
    assert decode.ceiling < decode.low
    assert (
        "Physics allows llama-3.1-8b decode, batch 1 on h100-sxm 0.0036 at most: the classical range cannot be"
        in decode.verdict
    )


def test_sources_are_named():
    for g in Efficiency.guide():
        assert len(g.sources) >= 1
        assert all("." in source and " " not in source for source in g.sources)
    assert "github.com/NVIDIA/TensorRT-LLM" in Efficiency.guide()[3].sources or len(Efficiency.guide()[3].sources) > 1


def test_verdicts_name_the_side_and_the_factor():
    for g in Efficiency.guide():
        if g.low <= g.measured.median <= g.high:
            assert "lies in the classical range" in g.verdict
        else:
            side = "below" if g.measured.median < g.low else "above"
            factor = max(g.low / g.measured.median, g.measured.median / g.high)
            assert f"lies {side} the classical range by a factor of {factor:.3g};" in g.verdict


def test_ceilings_follow_the_device():
    assert Efficiency.guide("l4")[2].ceiling != Efficiency.guide("h100")[2].ceiling
    assert Efficiency.guide("esp32")[0].ceiling is None  # its memory bandwidth is not published
    with pytest.raises(UnknownName, match="did you mean h100"):
        Efficiency.guide("h1000")


def test_the_twelve_factors():
    factors = Efficiency.factors()
    assert len(factors) == 12
    assert len({f.name for f in factors}) == 12
    assert all(f.title and f.meaning and f.sign and f.mend for f in factors)
