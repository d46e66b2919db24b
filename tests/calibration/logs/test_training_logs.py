"""Step lines, trainer_state.json and MLPerf: real files where the program runs on a CPU, else lines as it prints."""

import json
from pathlib import Path

import pytest

from mlsysim.calibration.logs import read_log
from mlsysim.errors import InvalidValue

FILES = Path(__file__).parent / "files"
MEGATRON = (
    " [2025-05-27 15:23:0{i}] iteration {i:8d}/   24000 | consumed samples: {i:12d} | elapsed time per iteration (ms):"
    " {ms} | throughput per GPU (TFLOP/s/GPU): 40.4 | learning rate: 1.5E-06 | global batch size: {batch:5d} |"
    " lm loss: 1.192634E+01 | number of skipped iterations:   0 | number of nan iterations:   0 |\n"
)
ARGUMENTS = """------------------------ arguments ------------------------
  bf16 ............................................ True
  fp8 ............................................. None
  micro_batch_size ................................ 2
  params_dtype .................................... torch.bfloat16
  pipeline_model_parallel_size .................... 4
  recompute_granularity ........................... selective
  seq_length ...................................... 4096
  tensor_model_parallel_size ...................... 8
  world_size ...................................... 64
-------------------- end of arguments ---------------------
"""


def written(tmp_path, text, name="run.log"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(tmp_path, text, name="run.log"):
    return read_log([written(tmp_path, text, name)])


def only(log):
    (reading,) = log.readings
    return reading


def megatron(times, batch=256, first=1):
    return "".join(MEGATRON.format(i=first + k, ms=ms, batch=batch) for k, ms in enumerate(times))


# --- Megatron-LM


def test_megatron_steps_with_the_arguments_above_them(tmp_path):
    log = read(tmp_path, ARGUMENTS + megatron(["271607.0", "5000.5", "5001.0"]))
    reading = only(log)
    assert log.format == "Megatron-LM"
    assert (reading.phase, reading.quantity, reading.steps) == ("training", "time_s", True)
    assert reading.values == pytest.approx((271.607, 5.0005, 5.001))
    assert reading.conditions == {
        "batch_size": 256,
        "seq_len": 4096,
        "devices": 64,
        "precision": "bf16",
        "recompute": "selective",
    }
    assert reading.lines == (12, 13, 14)
    assert (log.setup.engine, log.setup.tp, log.setup.pp, log.setup.micro_batch) == ("megatron", 8, 4, 2)


def test_fp8_training_is_told_by_its_argument(tmp_path):
    text = ARGUMENTS.replace("fp8 ............................................. None", "fp8 ..... hybrid")
    assert only(read(tmp_path, text + megatron(["1.0"]))).conditions["precision"] == "fp8"


def test_a_batch_that_ramps_up_makes_a_reading_of_each_size(tmp_path):
    log = read(tmp_path, megatron(["100.0", "101.0"], 32) + megatron(["190.0"], 64, first=3))
    assert [(r.conditions["batch_size"], r.values, r.label) for r in log.readings] == [
        (32, (0.1, 0.101), "batch_size 32"),
        (64, (0.19,), "batch_size 64"),
    ]
    assert [r.lines for r in log.readings] == [(1, 2), (3,)]


def test_the_spelling_of_old_versions_and_a_running_mean_behind_a_slash(tmp_path):
    old = " iteration  11/50000 | elapsed time per iteration (ms):  52728.1/51000.2 | gloabl batch size:  512 |\n"
    reading = only(read(tmp_path, old))
    assert reading.values == (pytest.approx(52.7281),)
    assert reading.conditions == {"batch_size": 512}


def test_what_happened_between_steps_is_told_of_the_next(tmp_path):
    text = megatron(["100.0", "100.0"]) + "saving checkpoint at iteration       2 to /ckpt in torch format\n"
    text += " validation loss at iteration 2 | lm loss value: 5.0 |\n" + megatron(["900.0", "100.0"], first=3)
    assert only(read(tmp_path, text)).pauses == {2: "checkpoint and evaluation"}


def test_times_that_are_none_are_left_out_with_their_lines(tmp_path):
    log = read(tmp_path, megatron(["100.0", "nan", "0.0", "-3.0", "101.0"]))
    assert only(log).values == (0.1, 0.101)
    assert only(log).lines == (1, 5)
    assert log.left_out == (
        (2, "time_s is nan, which no step takes"),
        (3, "time_s is 0, which no step takes"),
        (4, "time_s is -0.003, which no step takes"),
    )


def test_a_step_number_that_starts_again_is_refused(tmp_path):
    path = written(tmp_path, megatron(["100.0"] * 5) + megatron(["100.0"]))
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    assert str(caught.value) == (
        f"{path}, line 6: step must be the log of one run, whose step numbers rise (they had reached 5), got 1.0; a run"
        " started again, or was resumed from a checkpoint: cut the log where it starts, and give the parts as files"
    )


def test_a_log_without_one_usable_step_says_why(tmp_path):
    path = written(tmp_path, megatron(["nan"]))
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    assert str(caught.value) == (
        f"log must be a log with at least one usable step, got {str(path)!r};"
        " line 1: time_s is nan, which no step takes"
    )


def test_a_number_that_breaks_off_at_the_end_of_the_file_is_no_step(tmp_path):
    whole = megatron(["52728.1"] * 2)
    log = read(tmp_path, whole[: whole.rindex("728.1")])
    assert only(log).values == (52.7281,)
    assert log.left_out == ((2, "the log breaks off in a number"),)


def test_a_header_longer_than_the_head_of_a_file_hides_no_step(tmp_path):
    noise = "NCCL INFO some chatter of one of many ranks\n" * 4000
    assert only(read(tmp_path, ARGUMENTS + noise + megatron(["100.0"]))).conditions["devices"] == 64


# --- other programs


NEMO = (
    "Training epoch 0, iteration {i}/249 | lr: 1.961e-06 | global_batch_size: 8 | global_step: {i} |"
    " reduced_train_loss: 1.315 | train_step_timing in s: {s} | consumed_samples: 16\n"
)


def test_nemo_lines(tmp_path):
    log = read(tmp_path, "".join(NEMO.format(i=i, s=s) for i, s in enumerate((7.126, 2.505, 1.505))))
    assert log.format == "NeMo"
    assert only(log).values == (7.126, 2.505, 1.505)
    assert only(log).conditions == {"batch_size": 8}


def test_nemo_progress_bars_write_over_their_line(tmp_path):
    bar = (
        "\rEpoch 0: : {p}%|██| {i}/100 [10:48<00:00, reduced_train_loss=0.0172, global_step={i}.00,"
        " consumed_samples=256.0, train_step_timing in s=3.1{i}]"
    )
    log = read(tmp_path, "start\n" + "".join(bar.format(p=i, i=i) for i in (1, 2, 3)) + "\n")
    assert only(log).values == (3.11, 3.12, 3.13)
    assert only(log).lines == (2, 2, 2)


def test_deepspeed_as_the_program_wrote_it():
    log = read_log([FILES / "deepspeed.log"])
    reading = only(log)
    assert log.format == "DeepSpeed"
    assert reading.quantity == "time_s"
    assert reading.conditions == {"batch_size": 16, "devices": 1}
    assert len(reading.values) == 9
    assert reading.values[0] == pytest.approx(16 / 459.083150)  # CurrSamplesPerSec of global_step 4
    assert log.setup.micro_batch == 8


def test_deepspeed_without_a_batch_stays_a_throughput(tmp_path):
    line = "[INFO] [timer.py:198:stop] 0/20, RunningAvgSamplesPerSec=232.7, CurrSamplesPerSec=227.5, MemAllocated=1GB\n"
    old = "[timer.py:157:stop] 0/10, SamplesPerSec=200.5, MemAllocated=0.3GB\n"
    reading = only(read(tmp_path, old + line))
    assert (reading.quantity, reading.unit, reading.values) == ("throughput", "samples/s", (200.5, 227.5))


TITAN = (
    "[rank{r}]:[titan] 2025-11-25 19:45:01,441 - root - INFO - \x1b[31mstep: {i:2}  \x1b[32mloss:  8.0277  "
    "\x1b[38;2;180;60;0mgrad_norm:  1.4604  \x1b[36mmemory:  1.21GiB(0.86%)  \x1b[34mtps: {tps:,}  "
    "\x1b[36mtflops: 0.41  \x1b[35mmfu: 0.04%\x1b[39m\n"
)
TITAN_HEAD = """[rank0]:[titan] INFO - CUDA capacity: NVIDIA H200 with 139.81GiB memory
[rank0]:[titan] INFO - Model llama3 8B size: 8,030,261,248 total parameters
[rank0]:[titan] INFO - Building device mesh with parallelism: pp=2, dp_replicate=1, dp_shard=8, cp=1, tp=4, ep=1
[rank0]:[titan] INFO - see https://docs.example.org for tps: and more
[rank0]:[titan] INFO - Trainer is initialized with local batch size 8, global batch size 64, sequence length 2048, to
"""


def test_torchtitan_tokens_a_second_are_those_of_one_device(tmp_path):
    text = TITAN_HEAD + "".join(TITAN.format(r=0, i=i, tps=5756 + i) for i in (1, 2, 10))
    log = read(tmp_path, text)
    reading = only(log)
    assert (log.format, log.hardware, log.model) == ("torchtitan", "NVIDIA H200", "llama3 8B")
    assert (reading.quantity, reading.unit, reading.per_device) == ("throughput", "tokens/s", True)
    assert reading.values == (5757, 5758, 5766)
    assert reading.conditions == {"batch_size": 64, "seq_len": 2048, "devices": 2 * 8 * 4}


def test_torchtitan_old_mesh_and_a_validation_between_steps(tmp_path):
    text = "INFO - Building 2-D device mesh with ['dp_shard', 'tp'], [4, 2]\n" + TITAN.format(r=0, i=1, tps=5000)
    text += "INFO - validate step:  1  loss:  7.0  memory:  1.21GiB(0.86%)  tps: 9,000\n"
    text += TITAN.format(r=0, i=2, tps=4000)
    reading = only(read(tmp_path, text))
    assert reading.values == (5000, 4000)
    assert reading.conditions == {"devices": 8}
    assert reading.pauses == {1: "evaluation"}


def test_of_the_lines_of_all_ranks_those_of_one_are_steps(tmp_path):
    text = "".join(TITAN.format(r=r, i=i, tps=5000 + r) for i in range(1, 8) for r in (3, 0))
    log = read(tmp_path, text)
    assert only(log).values == (5003,) * 7
    assert log.left_out[0] == (2, "a line of another rank")
    assert log.left_out[-1] == (12, "a line of another rank (2 more)")


NANO = "iter {i}: loss 2.1234, time {ms}ms, mfu {mfu}%\n"
NANO_HEAD = """Overriding: batch_size = 12
block_size = 1024
dtype = 'bfloat16' # 'float32', 'bfloat16', or 'float16'
tokens per iteration will be: 491,520
number of parameters: 123.59M
step 0: train loss 10.9, val loss 10.9
"""


def test_nanogpt_with_its_configuration_echoed(tmp_path):
    text = NANO_HEAD + NANO.format(i=0, ms="40000.10", mfu="-100.00") + NANO.format(i=10, ms="134.55", mfu="37.10")
    text += "step 20: train loss 9.0, val loss 9.0\nsaving checkpoint to out\n" + NANO.format(
        i=20, ms="990.00", mfu="36"
    )
    log = read(tmp_path, text)
    reading = only(log)
    assert log.format == "nanoGPT"
    assert reading.values == pytest.approx((40.0001, 0.13455, 0.99))
    assert reading.conditions == {"batch_size": 480, "seq_len": 1024, "precision": "bf16"}
    assert reading.pauses == {0: "evaluation", 2: "evaluation and checkpoint"}


def test_nanogpt_without_block_size_gives_the_tokens_a_second(tmp_path):
    log = read(tmp_path, "tokens per iteration will be: 491,520\n" + NANO.format(i=0, ms="100.00", mfu="37"))
    reading = only(log)
    assert (reading.quantity, reading.unit, reading.tokens) == ("throughput", "tokens/s", 491_520)
    assert reading.values == (pytest.approx(4_915_200),)
    assert "batch_size" not in reading.conditions


def test_llm_c(tmp_path):
    text = """| device                | NVIDIA A100-SXM4-80GB                              |
| precision             | BF16                                               |
| sequence length T     | 1024                                               |
| total batch size      | 524288                                             |
| num_processes         | 8                                                  |
val loss 11.0
step    1/19560 | loss 10.991388 (+nanz)| norm 15.3 (+nanz)| lr 8.57e-07 | 3056.36 ms | 42.6% bf16 MFU | 171546 tok/s
step    2/19560 | loss 10.9 (+nanz)| norm 15.3 (+nanz)| lr 1.7e-06 | 2985.10 ms | 43.6% bf16 MFU | 175638 tok/s
"""
    log = read(tmp_path, text)
    assert log.hardware == "NVIDIA A100-SXM4-80GB"
    assert only(log).values == pytest.approx((3.05636, 2.9851))
    assert only(log).conditions == {"batch_size": 512, "seq_len": 1024, "precision": "bf16", "devices": 8}


# --- Hugging Face


@pytest.fixture
def state():
    return json.loads((FILES / "trainer_state.json").read_text())


def saved(tmp_path, state):
    return read(tmp_path, json.dumps(state, indent=2), "trainer_state.json")


def test_trainer_state_as_the_trainer_wrote_it():
    log = read_log([FILES / "trainer_state.json"])
    reading = only(log)
    assert reading.conditions == {"batch_size": 8, "seq_len": 64}  # 4 a device, 2 accumulated
    assert reading.values[:2] == pytest.approx((5.4294 / 5, (7.6788 - 5.4294) / 5))
    assert len(reading.values) == 8
    assert reading.pauses == {4: "checkpoint and evaluation"}  # at step 20, before the steps to 25
    assert [n.code for n in log.notes] == ["steps-averaged"]
    assert log.left_out == ()


def without_times(state):
    for entry in state["log_history"]:
        if "train_loss" not in entry:
            entry.pop("train_runtime", None)
        entry.pop("num_input_tokens_seen", None)
    return state


def test_without_times_of_steps_the_summary_is_used_less_its_evaluations(tmp_path, state):
    log = saved(tmp_path, without_times(state))
    reading = only(log)
    assert reading.values == (pytest.approx((21.1126 - 0.2058 - 0.2657) / 40),)
    assert not reading.steps
    assert reading.conditions == {"batch_size": 8}
    assert "mean of 40 steps, without 0.4715 s of evaluation" in log.notes[0].message


def test_steps_of_a_resumed_run_are_those_it_made(tmp_path, state):
    summary = without_times(state)["log_history"][-1]
    summary.update(train_runtime=10.0, train_steps_per_second=2.0, train_samples_per_second=16.0)
    state["log_history"] = [summary]
    assert only(saved(tmp_path, state)).values == (0.5,)  # 20 steps in 10 s, though the last is number 40


def test_a_time_that_starts_again_is_a_resumption_and_not_a_step(tmp_path, state):
    entries = [e for e in state["log_history"] if "loss" in e]
    for entry in entries[4:]:
        entry["train_runtime"] -= 15.0
    state["log_history"] = entries
    log = saved(tmp_path, state)
    assert len(only(log).values) == 7
    assert [reason for _, reason in log.left_out] == [
        "training was resumed here: the time of these steps is not told apart"
    ]


def test_a_truncated_state_uses_its_whole_entries(tmp_path):
    text = (FILES / "trainer_state.json").read_text()
    log = read(tmp_path, text[: text.index('"train_runtime": 18.256')], "trainer_state.json")
    reading = only(log)
    assert (reading.quantity, reading.unit) == ("throughput", "tokens/s")  # the batch is told only at the end
    assert reading.values[:2] == pytest.approx((2560 / 5.4294, 2560 / (7.6788 - 5.4294)))
    assert len(reading.values) == 5
    assert log.left_out == ((0, "the file breaks off: the entries before that are used"),)


def test_a_state_without_any_time_is_refused(tmp_path, state):
    state = without_times(state)
    state["log_history"].pop()
    path = written(tmp_path, json.dumps(state), "trainer_state.json")
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    assert str(caught.value) == (
        f"log must be a trainer_state.json with train_runtime in it, got {str(path)!r}; the summary that training ends"
        " with is missing: was it stopped? include_num_input_tokens_seen=True times the steps"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_runtime": 0.0}, "train_runtime must be a time above 0 s, got 0.0"),
        ({"train_runtime": float("nan")}, "train_runtime must be a time above 0 s, got nan"),
        ({"step": 0}, "step must be at least 1, got 0; no step was made"),
    ],
)
def test_an_impossible_summary_is_refused(tmp_path, state, change, message):
    state = without_times(state)
    state["log_history"] = [{**state["log_history"][-1], **change}]
    with pytest.raises(InvalidValue) as caught:
        saved(tmp_path, state)
    assert str(caught.value).endswith(message)


# --- MLPerf


@pytest.mark.parametrize(
    ("name", "quantity", "value", "conditions", "unit", "notes"),
    [
        ("singlestream", "time_s", 2085509e-9, {"batch_size": 1}, "", []),
        ("multistream", "time_s", 16710781e-9, {"batch_size": 8}, "", ["run-invalid"]),
        ("offline", "throughput", 473.854, {}, "samples/s", ["batch-unknown"]),
        ("server", "throughput", 94.16, {}, "samples/s", ["batch-unknown", "run-invalid"]),
    ],
)
def test_summaries_of_the_load_generator(name, quantity, value, conditions, unit, notes):
    log = read_log([FILES / f"mlperf_{name}.txt"])
    reading = only(log)
    assert log.format == "MLPerf inference summary"
    assert (reading.quantity, reading.unit, reading.label.lower()) == (quantity, unit, name)
    assert reading.values == (pytest.approx(value),)
    assert reading.conditions == conditions
    assert [n.code for n in log.notes] == notes


def test_a_language_model_tells_tokens_a_second(tmp_path):
    text = (FILES / "mlperf_offline.txt").read_text().replace("Result is", "Tokens per second: 34029.38\nResult is")
    reading = only(read(tmp_path, text))
    assert (reading.phase, reading.values, reading.unit) == ("decode", (34029.38,), "tokens/s")


def test_an_accuracy_run_measures_no_speed(tmp_path):
    path = written(tmp_path, (FILES / "mlperf_offline.txt").read_text().replace("PerformanceOnly", "AccuracyOnly"))
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    assert str(caught.value) == (
        f"{path}, line 6: Mode must be PerformanceOnly, got 'AccuracyOnly'; it measures no speed"
    )


@pytest.mark.parametrize("value", ["0", "nan", "x"])
def test_a_summary_without_a_number_is_refused_with_its_line(tmp_path, value):
    text = (FILES / "mlperf_offline.txt").read_text().replace("473.854", value)
    with pytest.raises(InvalidValue, match=r"line 7: Samples per second must be .*, got '" + value + "'"):
        read(tmp_path, text)


def test_a_truncated_summary_says_what_is_missing(tmp_path):
    text = (FILES / "mlperf_offline.txt").read_text()
    with pytest.raises(InvalidValue, match="must be a summary with 'Samples per second'"):
        read(tmp_path, text[: text.index("Samples per second")])


def mllog(key, value=None, time_ms=0, **metadata):
    event = {"namespace": "", "time_ms": time_ms, "event_type": "", "key": key, "value": value, "metadata": metadata}
    return "0: :::MLLOG " + json.dumps(event) + "\n"


MLLOG_HEAD = (
    mllog("global_batch_size", 32)
    + mllog("max_sequence_length", 8192)
    + mllog("submission_benchmark", "llama31_8b")
    + mllog("submission_platform", "MI350X")
)
# times and rates of the published log named in the reader
BLOCKS = (
    (1759966714694, 0, 1759967214432, 12288, 24.592664315398554),
    (1759967227206, 12288, 1759967719197, 24576, 24.980210279544146),
    (1759967731490, 24576, 1759968223496, 36864, 24.97935082864393),
)


def blocks(*, rates):
    text = ""
    for start, before, end, after, rate in BLOCKS:
        text += mllog("block_start", time_ms=start, samples_count=before)
        text += mllog("tracked_stats", {"throughput": rate}, time_ms=end, step=after) if rates else ""
        text += mllog("block_stop", time_ms=end, samples_count=after)
        text += mllog("eval_accuracy", 5.65, time_ms=end, samples_count=after)
    return text


def test_mlperf_training_by_its_tracked_rates(tmp_path):
    log = read(tmp_path, MLLOG_HEAD + blocks(rates=True))
    reading = only(log)
    assert (log.format, log.model, log.hardware) == ("MLPerf training log", "llama-3.1-8b", "MI350X")
    assert reading.conditions == {"batch_size": 32, "seq_len": 8192}
    assert reading.values == pytest.approx([32 / rate for *_, rate in BLOCKS])


def test_mlperf_training_by_its_blocks_agrees_with_the_rates(tmp_path):
    # both are of the same samples, the blocks to the millisecond in 500 s
    by_rates = only(read(tmp_path, MLLOG_HEAD + blocks(rates=True)))
    by_blocks = only(read(tmp_path, MLLOG_HEAD + blocks(rates=False)))
    assert by_blocks.values[1:] == pytest.approx(by_rates.values[1:], rel=2e-4)
    assert by_blocks.values[0] == pytest.approx(499.738 / 12288 * 32)


def test_a_block_of_mlperf_ends_once(tmp_path):
    text = mllog("block_start", time_ms=0, samples_count=0) + mllog("block_stop", time_ms=1000, samples_count=10)
    reading = only(read(tmp_path, text + mllog("block_stop", time_ms=4000, samples_count=20)))
    assert (reading.quantity, reading.values, reading.unit) == ("throughput", (10.0,), "samples/s")


def test_mlperf_step_times_come_before_rates(tmp_path):
    text = MLLOG_HEAD + blocks(rates=True) + mllog("tracked_stats", {"train_step_time": 1.25, "loss": 2}, step=7)
    log = read(tmp_path, text)
    assert only(log).values == (1.25,)
    assert log.notes == ()


def test_mlperf_lines_that_are_not_whole_are_left_out(tmp_path):
    text = MLLOG_HEAD + blocks(rates=True)
    log = read(tmp_path, text[: text.rindex('"key"')])
    assert len(only(log).values) == 3
    assert log.left_out == ((16, "a line that is not whole"),)


def test_two_mlperf_runs_in_one_file_are_refused(tmp_path):
    with pytest.raises(InvalidValue, match="whose step numbers rise"):
        read(tmp_path, MLLOG_HEAD + blocks(rates=True) * 2)


def test_an_mlperf_clock_that_goes_backwards_is_refused(tmp_path):
    text = MLLOG_HEAD + mllog("block_start", time_ms=0, samples_count=0)
    text += mllog("block_stop", time_ms=9000, samples_count=10) + mllog("block_start", time_ms=1, samples_count=10)
    text += mllog("block_stop", time_ms=8000, samples_count=20)
    with pytest.raises(InvalidValue, match=r"line 8: time must be no earlier than the line before \(9.000000 s\)"):
        read(tmp_path, text)


def test_mlperf_without_any_speed_is_refused(tmp_path):
    with pytest.raises(InvalidValue, match="MLLOG lines of a training run with its speed"):
        read(tmp_path, MLLOG_HEAD)
