"""Errors: whole after a journey between processes, one or all of them at once."""

import pickle

import pytest

from mlsysim import Engine, calibrate
from mlsysim.errors import Checks, ImpossibleMeasurement, InvalidValue, MlsysimError, Problems, UnknownName


def raised(function, *arguments, **named):
    with pytest.raises(MlsysimError) as caught:
        function(*arguments, **named)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        raised(Engine.solve, "lama", "h10", batch_size=1.5),
        raised(Engine.solve, "llama-3.1-8b", "h100", precision="fp7"),
        raised(Engine.solve, "llama-3.1-8b", "a100", precision="fp8"),
        raised(calibrate, throughput=1200, flops_per_token=1.4e12, peak_flops=989e12),
    ],
    ids=lambda e: type(e).__name__,
)
def test_errors_travel_whole(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code
    if isinstance(error, ImpossibleMeasurement):
        assert again.causes == error.causes
    if isinstance(error, Problems):
        assert [str(p) for p in again.problems] == [str(p) for p in error.problems]


def test_checks_raise_nothing_one_or_all():
    Checks().done()
    one = Checks()
    one.add(InvalidValue("a", "b", 1))
    assert isinstance(raised(one.done), InvalidValue)
    both = Checks()
    both.add(Problems([InvalidValue("a", "b", 1), UnknownName("model", "x", [], "none")]))
    both.add(InvalidValue("a", "b", 1))  # told once
    assert str(raised(both.done)) == "- a must be b, got 1\n- unknown model 'x' (none)"


def test_a_letter_suggests_nothing():
    assert str(raised(Engine.solve, "x", "h100")) == (
        "unknown model 'x' (`mlsysim models` lists all; or the path of a config.json, *.gguf, *.safetensors, *.onnx)"
    )
