"""The callbacks under stand-ins that call the hooks in the order and with the arguments of the libraries' trainers."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from clock import Clock

from mlsysim.calibration.live import callbacks
from mlsysim.calibration.live.callbacks import LightningHooks, TransformersHooks
from mlsysim.calibration.live.trainers import described, numbers_in, transformers_facts
from mlsysim.errors import InvalidValue, MissingExtra, UnknownName

GPT2 = {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr("mlsysim.calibration.live.run.perf_counter", found)
    return found


def model(**values):
    config = SimpleNamespace(to_dict=lambda: {**GPT2, **values}, _name_or_path="openai/gpt2")
    return SimpleNamespace(config=config, dtype="torch.float32")


def arguments(**changed):
    """Return what transformers.TrainingArguments says of a run on 4 devices, 2 micro-batches of 8 sequences on each."""
    usual = {
        "train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "world_size": 4,
        "n_gpu": 1,
        "bf16": True,
        "fp16": False,
        "tf32": None,
        "gradient_checkpointing": False,
        "include_num_input_tokens_seen": "no",
    }
    return SimpleNamespace(**{**usual, **changed})


def train(callback, args, clock, steps=20, tokens=0, evaluate_at=(), save_at=(), steps_an_epoch=1000):
    """Train as transformers.Trainer does: evaluation and checkpoint come after the step's end."""
    state = SimpleNamespace(num_input_tokens_seen=0, is_world_process_zero=True)
    callback.on_train_begin(args, state, None, model=model())
    for step in range(1, steps + 1):
        if (step - 1) % steps_an_epoch == 0:
            callback.on_epoch_begin(args, state, None, model=None)
        clock.wait(0.2)
        state.num_input_tokens_seen += tokens
        callback.on_step_end(args, state, None, model=None)
        if step in evaluate_at:
            clock.wait(9)
            callback.on_evaluate(args, state, None, metrics={})
        if step in save_at:
            clock.wait(9)
            callback.on_save(args, state, None)
    callback.on_train_end(args, state, None)


def test_optimizer_steps_hold_the_global_batch(clock, capsys):
    callback = TransformersHooks("h100", seq_len=1024)
    train(callback, arguments(), clock, evaluate_at={5, 10}, save_at={12}, steps_an_epoch=15)
    c = callback.calibration
    s = c.scenario
    assert (s.model.name, s.phase, s.batch_size, s.seq_len) == ("gpt2", "training", 64, 1024)
    assert (s.devices, s.precision, s.modifiers.recompute) == (4, "bf16", "none")
    assert c.throughput.value == pytest.approx(64 * 1024 / 0.2)
    pauses = callback.run.log.readings[0].pauses
    assert pauses == {5: "evaluation", 10: "evaluation", 12: "checkpoint", 15: "start of an epoch"}
    told = capsys.readouterr().err
    assert told.startswith("mlsysim: gpt2 on 4 x h100-sxm, 20 steps: 200 ms a step (200 ms to 200 ms), ")
    assert told.count("\n") == 1


def test_tokens_that_the_trainer_counts_give_throughput_and_length(clock):
    callback = TransformersHooks("h100")
    train(callback, arguments(include_num_input_tokens_seen="all"), clock, tokens=64 * 300)
    c = callback.calibration
    assert c.throughput.value == pytest.approx(64 * 300 / 0.2)
    assert (c.scenario.seq_len, c.scenario.batch_size) == (300, 64)
    assert "batch-differs" not in {n.code for n in c.notes}


def test_what_is_stated_goes_before_what_the_trainer_says(clock):
    callback = TransformersHooks("h100", "gpt2-xl", seq_len=512, precision="fp16", recompute="full", devices=8)
    train(callback, arguments(), clock)
    s = callback.calibration.scenario
    assert (s.model.name, s.precision, s.devices, s.modifiers.recompute) == ("gpt2-xl", "fp16", 8, "full")


@pytest.mark.parametrize(
    ("changed", "dtype", "precision"),
    [
        ({"bf16": False}, "torch.bfloat16", "bf16"),
        ({"bf16": False}, "torch.float32", "fp32"),
        ({"bf16": False, "tf32": True}, "torch.float32", "tf32"),
        ({"tf32": True}, "torch.float32", "bf16"),
    ],
)
def test_the_format_is_that_of_the_arithmetic(changed, dtype, precision):
    facts, _ = transformers_facts(arguments(**changed), SimpleNamespace(dtype=dtype), False)
    assert facts["precision"] == precision


def test_packed_sequences_are_as_long_as_the_trainer_says(clock):
    callback = TransformersHooks("h100")
    train(callback, arguments(packing=True, max_length=2048, fp16=True, bf16=False), clock)
    assert (callback.calibration.scenario.seq_len, callback.calibration.scenario.precision) == (2048, "fp16")


def test_a_length_nobody_states_is_asked_for_before_the_training():
    callback = TransformersHooks("h100")
    state = SimpleNamespace(num_input_tokens_seen=0, is_world_process_zero=True)
    with pytest.raises(InvalidValue) as caught:
        callback.on_train_begin(arguments(max_length=2048), state, None, model=model())
    assert str(caught.value) == (
        "seq_len must be given, the tokens of a training sequence, got None;"
        " or set include_num_input_tokens_seen='all' in the training arguments, which counts tokens"
    )


def test_hardware_is_checked_before_the_trainer_is_built():
    with pytest.raises(UnknownName, match="unknown hardware 'h1000'"):
        TransformersHooks("h1000")
    with pytest.raises(InvalidValue) as caught:
        _ = TransformersHooks("h100").calibration
    assert str(caught.value) == "calibration must be asked for after training has begun, got 'no training'"


def test_a_model_that_does_not_say_what_it_is_must_be_named():
    callback = TransformersHooks("h100", seq_len=64)
    state = SimpleNamespace(num_input_tokens_seen=0)
    with pytest.raises(InvalidValue) as caught:
        callback.on_train_begin(arguments(), state, None, model=SimpleNamespace(dtype="torch.float32"))
    assert str(caught.value) == (
        "model must be given, a name or a spec, got None; the trainer's model has no config that says what it is"
    )


def test_too_few_steps_do_not_end_a_training(clock, capsys):
    callback = TransformersHooks("h100", seq_len=1024)
    train(callback, arguments(), clock, steps=3)
    assert "no calibration of this training: run must be at least 6 steps, got 3" in capsys.readouterr().err


def test_another_process_is_silent(clock, capsys):
    callback = TransformersHooks("h100", seq_len=1024)
    train(callback, arguments(), clock)
    capsys.readouterr()
    callback.on_train_end(arguments(), SimpleNamespace(is_world_process_zero=False), None)
    assert capsys.readouterr().err == ""


class Shaped:
    def __init__(self, *shape):
        self.shape = shape


def lightning(callback, clock, batch, accumulated=2, batches=40, validate_at=(), save_at=()):
    """Train as lightning's loop does: the optimizer's step is counted before on_train_batch_end."""
    module = SimpleNamespace(children=lambda: iter([model()]))
    trainer = SimpleNamespace(
        global_step=0, world_size=2, precision="bf16-mixed", is_global_zero=True, sanity_checking=True, training=True
    )
    callback.on_validation_end(trainer, module)  # the sanity check, before anything is trained
    trainer.sanity_checking = False
    callback.on_train_start(trainer, module)
    callback.on_train_epoch_start(trainer, module)
    for i in range(1, batches + 1):
        clock.wait(0.1)
        trainer.global_step += i % accumulated == 0
        callback.on_train_batch_end(trainer, module, None, batch, i - 1)
        if i in validate_at:
            callback.on_validation_end(trainer, module)
        if i in save_at:
            callback.on_save_checkpoint(trainer, module, {})
    callback.on_train_end(trainer, module)


def test_lightning_steps_are_those_of_the_optimizer(clock, capsys):
    callback = LightningHooks("h100", seq_len=512)
    lightning(callback, clock, {"input_ids": Shaped(4, 512), "labels": Shaped(4, 512)}, validate_at={20}, save_at={30})
    c = callback.calibration
    assert callback.run.steps == 20
    assert c.throughput.value == pytest.approx(2 * 2 * 4 * 512 / 0.2)  # micro-batches, processes
    s = c.scenario
    assert (s.model.name, s.batch_size, s.devices, s.precision) == ("gpt2", 16, 2, "bf16")
    assert callback.run.log.readings[0].pauses == {10: "evaluation", 15: "checkpoint"}
    assert "gpt2 on 2 x h100-sxm, 20 steps: 200 ms a step" in capsys.readouterr().err


def test_lightning_batches_of_images_are_samples(clock):
    callback = LightningHooks("h100", "resnet-50", precision="fp16")
    lightning(callback, clock, [Shaped(32, 3, 224, 224), Shaped(32)], accumulated=1)
    assert callback.calibration.throughput.value == pytest.approx(2 * 32 / 0.1)


def test_lightning_keeps_what_was_measured_where_training_fails(clock):
    callback = LightningHooks("h100", "resnet-50", precision="fp16")
    lightning(callback, clock, [Shaped(32, 3, 224, 224)], accumulated=1)
    callback.on_exception(None, None, KeyboardInterrupt())
    assert callback.calibration


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        ({"input_ids": Shaped(4, 7), "labels": Shaped(4, 7)}, (28, 4)),
        ({"pixel_values": Shaped(5, 3, 8, 8)}, (0, 5)),
        (({"x": Shaped(6, 2)}, Shaped(6)), (0, 6)),
        (["a", 3, Shaped(2)], (0, 2)),
        ("text", (0, 0)),
        ([], (0, 0)),
    ],
)
def test_numbers_of_a_batch_by_hand(batch, found):
    assert numbers_in(batch) == found


def test_a_model_is_described_by_its_config():
    spec = described(model(n_layer=2).config)
    assert (spec.name, spec.parameters) == ("gpt2", pytest.approx(53e6, rel=0.02))
    assert described(None) is None


@pytest.mark.parametrize(
    ("name", "library", "modules"),
    [
        ("HuggingFaceCallback", "transformers", ("transformers",)),
        ("LightningCallback", "lightning", ("lightning", "lightning.pytorch.callbacks", "pytorch_lightning")),
    ],
)
def test_a_missing_library_is_told(monkeypatch, name, library, modules):
    monkeypatch.delitem(vars(callbacks), name, raising=False)
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as caught:
        getattr(callbacks, name)
    assert str(caught.value) == f"{name} needs {library}: pip install {library}"


def test_a_callback_is_its_librarys_and_ours(monkeypatch):
    class TrainerCallback:
        def on_log(self, args, state, control, **kwargs):
            return "theirs"

    monkeypatch.delitem(vars(callbacks), "HuggingFaceCallback", raising=False)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(TrainerCallback=TrainerCallback))
    made = callbacks.HuggingFaceCallback("h100", "gpt2")
    monkeypatch.delitem(vars(callbacks), "HuggingFaceCallback")
    assert isinstance(made, TrainerCallback)
    assert made.on_log(None, None, None) == "theirs"
    assert made.on_step_end(None, None, None) is None


def test_the_module_imports_no_trainer():
    code = (
        "import sys, mlsysim.calibration.live.callbacks;"
        "print(*sorted({'torch', 'transformers', 'lightning', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    with pytest.raises(AttributeError):
        _ = callbacks.KerasCallback
