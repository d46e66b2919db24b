"""The rate that a training program counts itself, read from its step lines and held against eta."""

import pytest

from mlsysim.calibration.from_log import calibrate_log
from mlsysim.calibration.logs import read_log
from mlsysim.calibration.logs.log import Own
from mlsysim.errors import ImpossibleMeasurement

A100 = ("the A100", 312e12)
HEAD = "Overriding: block_size = 1024\ntokens per iteration will be: 491,520\n"
NANO = HEAD + "".join(f"iter {i}: loss 3.4, time 392.00ms, mfu {'-100.00' if i < 5 else '40.00'}%\n" for i in range(30))
MEGATRON = (
    " iteration {i:8d}/   24000 | elapsed time per iteration (ms): 5000.0 | throughput per GPU (TFLOP/s/GPU): {own} |"
    " global batch size: {batch:5d} |\n"
)
LLAMA = {"model": "llama-3.1-8b", "hardware": "h100", "seq_len": 8192}


def written(tmp_path, text):
    path = tmp_path / "run.log"
    path.write_text(text)
    return path


def owns(tmp_path, text):
    return [reading.own for reading in read_log([written(tmp_path, text)]).readings]


def note(tmp_path, text, **stated):
    found = calibrate_log(written(tmp_path, text), **stated).main
    (message,) = [n.message for n in found.notes if n.code == "own-count-of-flops"]
    return message


def megatron(own="401.2", batch=256, steps=20):
    return "".join(MEGATRON.format(i=i, own=own, batch=batch) for i in range(1, steps))


# --- what is read


def test_the_median_over_the_steps_that_are_used_is_read(tmp_path):
    line = "[titan] step: {0}  loss: 8.0  memory: 1.00GiB(1.00%)  tps: 5,000  tflops: {1}  mfu: 25.00%\n"
    text = "".join(line.format(i, own) for i, own in enumerate(["3.00", "1,290.50", "250.00", "250.00", "9.00"], 1))
    assert owns(tmp_path, text + line.format(5, "900.0") * 9) == [Own("torchtitan", "achieved_flops", 250e12)]


def test_what_nanogpt_prints_before_it_knows_is_no_count(tmp_path):
    assert owns(tmp_path, NANO) == [Own("nanoGPT", "efficiency", pytest.approx(0.4), A100)]
    early = HEAD + "iter 0: loss 3.4, time 392.00ms, mfu -100.00%\n"
    assert owns(tmp_path, early) == [None]


def test_each_operating_point_has_its_own_count(tmp_path):
    text = MEGATRON.format(i=1, own="300.0/299.0", batch=128) + MEGATRON.format(i=2, own="400.0", batch=256)
    assert owns(tmp_path, text) == [Own("Megatron-LM", "achieved_flops", v) for v in (300e12, 400e12)]


def test_the_counts_of_primus_nemo_and_llm_c(tmp_path):
    primus = (
        " iteration 3/ 9 | elapsed time per iteration (ms): 5.0 | compute per GPU (TFLOP/s/GPU): 496.3 (avg 496.1)|\n"
    )
    assert owns(tmp_path, primus) == [Own("Megatron-LM", "achieved_flops", 496.3e12)]
    nemo = "Training epoch 0, iteration 3/99 | global_step: 3 | train_step_timing in s: 6.4 | TFLOPS_per_GPU: 7.5e+02\n"
    assert owns(tmp_path, nemo) == [Own("NeMo", "achieved_flops", 750e12)]
    llmc = "step    2/10 | loss 10.95 (+nanz)| norm 22.0 | lr 1.71e-06 | 2493.35 ms | 40.3% bf16 MFU | 210274 tok/s\n"
    assert owns(tmp_path, llmc) == [Own("llm.c", "efficiency", pytest.approx(0.403))]


# --- what is said


def test_a_count_that_agrees_is_told_and_no_more(tmp_path):
    # 491,520 tokens in 0.392 s on 8 devices, of 0.797 GFLOP each as counted here
    assert note(tmp_path, NANO, model="gpt2", hardware="a100", devices=8) == (
        "nanoGPT itself counts an MFU of 40.0%, of the A100's 312 TFLOP/s whatever the device: 125 TFLOP/s a device;"
        " eta times the peak of one device is 125 TFLOP/s"
    )
    assert note(tmp_path, megatron(), devices=64, **LLAMA) == (
        "Megatron-LM itself counts 401 TFLOP/s a device; eta times the peak of one device is 337 TFLOP/s"
    )


def test_nanogpts_mfu_is_of_the_a100_on_other_devices_too(tmp_path):
    # were its 40 % those of an H100, 396 TFLOP/s a device would be far from 125
    assert note(tmp_path, NANO, model="gpt2", hardware="h100", devices=8).endswith("is 125 TFLOP/s")


def test_another_number_of_devices_is_named_where_it_would_make_them_agree(tmp_path):
    assert note(tmp_path, NANO, model="gpt2", hardware="h100", devices=2).endswith(
        "is 500 TFLOP/s: likely another number of devices (8 would make them agree, not 2), else another convention"
    )


def test_no_number_of_devices_is_named_where_none_is_near(tmp_path):
    # 64 x 337 / 14,379 = 1.5 devices
    assert note(tmp_path, megatron("14379.0"), devices=64, **LLAMA).endswith(
        "is 337 TFLOP/s: likely another convention, another model or another precision"
    )


def test_a_rate_of_one_device_says_nothing_of_their_number(tmp_path):
    line = "[titan] step: {0}  loss: 8.0  memory: 1.00GiB(1.00%)  tps: 5,000  tflops: 40.00  mfu: 4.00%\n"
    text = "".join(line.format(i) for i in range(1, 20))
    assert note(tmp_path, text, devices=8, batch_size=16, **LLAMA).endswith(
        ": likely another convention, another model or another precision"
    )


def test_steps_of_an_unknown_batch_are_told_the_batch_that_would_agree(tmp_path):
    text = megatron().replace(" global batch size:   256 |", "")
    assert note(tmp_path, text, devices=64, **LLAMA) == (
        "Megatron-LM itself counts 401 TFLOP/s a device; eta times the peak of one device is 1.32 TFLOP/s: likely"
        " another batch, of which nobody says (about 304 sequences a step would make them agree)"
    )


def test_an_impossible_eta_is_first_explained_by_the_programs_own_count(tmp_path):
    with pytest.raises(ImpossibleMeasurement) as refused:
        calibrate_log(written(tmp_path, NANO), model="gpt2", hardware="a100")
    first, *others = refused.value.causes
    assert first.message == (
        "another number of devices, 8 and not 1: nanoGPT itself counts an MFU of 40.0%, of the A100's 312 TFLOP/s"
        " whatever the device: 125 TFLOP/s a device"
    )
    assert first.efficiency == pytest.approx(refused.value.efficiency / 8)
    assert "devices" not in {cause.code for cause in others}
    assert others
