"""Results of load generators and of llama.cpp, as the programs wrote them, and broken in the ways that files break."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.calibration.logs import LeftOut, read_log
from mlsysim.calibration.logs.quantization import engine_precision, gguf_precision, without_gguf_precision
from mlsysim.calibration.logs.serving import Served, point_label, repeats
from mlsysim.errors import InvalidValue

FILES = Path(__file__).parent / "files"
VLLM = {
    "date": "20261127-100000",
    "backend": "vllm",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
    "request_rate": "inf",
    "max_concurrency": 16,
    "duration": 10.0,
    "completed": 100,
    "total_input_tokens": 51_200,
    "total_output_tokens": 12_800,
    "mean_ttft_ms": 80.0,
    "mean_tpot_ms": 10.0,
}


def written(tmp_path, *records, name="log.jsonl", **changed):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps({**record, **changed}) for record in records or (VLLM,)))
    return path


def refused(path):
    with pytest.raises(InvalidValue) as raised:
        read_log([path])
    return str(raised.value).replace(str(path), "FILE")


# vLLM bench serve


def test_decode_of_a_vllm_result_is_the_mean_time_per_token_of_the_sequences_in_decode(tmp_path):
    log = read_log([written(tmp_path)])
    (reading,) = log.readings
    # 1,280 tokens a second, of which 127 of 128 are made by decode steps of 10 ms: 12.7 sequences at once.
    assert (reading.phase, reading.quantity, reading.values) == ("decode", "time_s", (0.010,))
    assert reading.conditions == {"batch_size": 13, "context": 512 + 64}
    assert reading.label == "concurrency 16"
    assert (log.model, log.setup.engine) == ("meta-llama/Llama-3.1-8B-Instruct", "vllm")
    assert [note.code for note in log.notes] == ["decode-among-prefills", "ttft-not-used"]


def test_the_batch_is_never_above_the_concurrency(tmp_path):
    (reading,) = read_log([written(tmp_path, max_concurrency=12)]).readings
    assert reading.conditions["batch_size"] == 12


def test_time_to_first_token_is_a_prefill_where_requests_ran_one_by_one(tmp_path):
    log = read_log([written(tmp_path, max_concurrency=1, duration=135.0)])
    decode, forward = log.readings
    assert decode.conditions["batch_size"] == 1
    assert (forward.phase, forward.values) == ("forward", (0.080,))
    assert forward.conditions == {"batch_size": 1, "seq_len": 512}
    assert [note.code for note in log.notes] == ["ttft-has-frontend"]


def test_metadata_of_a_run_states_its_devices(tmp_path):
    log = read_log([written(tmp_path, tp="4", version="0.33.0")])
    assert log.readings[0].conditions["devices"] == 4
    assert (log.setup.tp, log.setup.version) == (4, "0.33.0")


def test_details_of_requests_give_repeats(tmp_path):
    # 60 requests of 11 tokens; 20 with 10 ms between tokens, 20 with 11, 20 with 12; one more that failed.
    itls = [[0.010 + 0.001 * (i // 20)] * 10 for i in range(60)]
    details = {"output_lens": [11] * 60 + [0], "ttfts": [0.05] * 60 + [0.0], "itls": [*itls, []]}
    log = read_log([written(tmp_path, VLLM, **details, total_output_tokens=660, completed=60, duration=1.0)])
    # 600 tokens a second by decode, 10 ms each, make 6 sequences at once: 60 requests give 10 batches of 6.
    assert log.readings[0].conditions["batch_size"] == 6
    values = log.readings[0].values
    assert len(values) == 10
    assert values[0] == pytest.approx(0.010)
    assert values[-1] == pytest.approx(0.012)
    assert sorted(values) == list(values)


def test_results_of_the_same_operating_point_are_repeats_of_one(tmp_path):
    log = read_log([written(tmp_path, VLLM, {**VLLM, "mean_tpot_ms": 10.1}, {**VLLM, "max_concurrency": 1})])
    assert [(r.label, r.values) for r in log.readings][:2] == [
        ("concurrency 16", (0.010, 0.0101)),
        ("concurrency 1", (0.010,)),
    ]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("mean_tpot_ms", float("nan"), "mean_tpot_ms is nan, not a finite number"),
        ("mean_tpot_ms", None, "mean_tpot_ms is null"),
        ("mean_tpot_ms", 0.0, "mean_tpot_ms is 0.0: nothing was measured"),
        ("completed", 0, "completed is 0: nothing was measured"),
        ("total_output_tokens", 0, "total_output_tokens is 0: nothing was measured"),
        ("duration", -3.0, "duration is -3.0: nothing was measured"),
        ("total_input_tokens", "many", "total_input_tokens is 'many', not a finite number"),
        ("total_output_tokens", 100, "requests have 1 output tokens: there is no decode step"),
        (
            "spec_decode_acceptance_length",
            2.7,
            "speculative decoding, 2.7 tokens a step: a token's time is not a step's; measure without drafts",
        ),
    ],
)
def test_a_result_that_measured_nothing_is_refused_or_left_out(tmp_path, field, value, reason):
    bad = {**VLLM, field: value}
    rule = "log must be a log with at least one usable result, got 'FILE'; line 1: "
    assert refused(written(tmp_path, bad)) == rule + reason
    log = read_log([written(tmp_path, VLLM, bad)])
    assert log.left_out == (LeftOut(2, reason),)
    assert len(log.readings) == 1


def test_of_a_model_on_a_disk_the_last_part_is_its_name(tmp_path):
    assert read_log([written(tmp_path, model_id="/models/org/Llama-3.1-8B-Instruct/")]).model == "Llama-3.1-8B-Instruct"
    assert read_log([written(tmp_path, model_id="C:\\models\\Qwen3-8B")]).model == "Qwen3-8B"


def test_a_missing_field_is_named(tmp_path):
    record = {name: value for name, value in VLLM.items() if name != "mean_tpot_ms"}
    assert refused(written(tmp_path, record)).endswith("; line 1: mean_tpot_ms is missing")


def test_results_of_two_models_are_refused(tmp_path):
    path = written(tmp_path, VLLM, {**VLLM, "model_id": "other"})
    assert refused(path) == (
        "FILE, line 2: model must be 'meta-llama/Llama-3.1-8B-Instruct', as in the results before it, got 'other';"
        " calibrate each model by itself"
    )


def test_lines_that_are_no_json_are_left_out(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text() + '\n{"model_id": "meta\n[1, 2]\n' + json.dumps(VLLM)[:200])
    log = read_log([path])
    assert len(log.readings) == 1
    assert [part.line for part in log.left_out] == [2, 3, 4]
    assert all(part.reason.startswith("not a") for part in log.left_out)


def test_a_result_that_breaks_off_is_used_where_what_is_needed_was_whole(tmp_path):
    path = written(tmp_path)
    text = path.read_text()
    path.write_text(text[:-1] + ', "median_tpot_ms": 9.')
    log = read_log([path])
    assert log.readings == read_log([written(tmp_path, name="whole")]).readings
    reason = "the JSON breaks off in field 'median_tpot_ms'; what stands before it is used"
    assert log.left_out == (LeftOut(1, reason),)
    path.write_text(text[:-2])
    assert "line 1: the JSON breaks off in field 'mean_tpot_ms'" in refused(path)


@pytest.mark.parametrize(
    "name", ["vllm_bench_serve.json", "trtllm_streaming.json", "llama_bench.json", "aiperf_concurrency1.json"]
)
def test_a_file_cut_anywhere_gives_what_the_whole_gives_or_is_refused(tmp_path, name):
    whole = (FILES / name).read_bytes()
    readings = read_log([FILES / name]).readings
    path = tmp_path / name
    for end in range(40, len(whole), 13):
        path.write_bytes(whole[:end])
        try:
            log = read_log([path])
        except InvalidValue:
            continue
        # What stands at the end of a file may be lost: who made it, the model; what was measured is as in the whole.
        assert [r.values for r in log.readings] == [r.values for r in readings][: len(log.readings)]
        assert log.left_out or end >= len(whole) - 2


def test_lines_of_an_object_over_several_lines_are_counted_with_the_empty_ones(tmp_path):
    path = tmp_path / "bench.json"
    rows = json.loads((FILES / "llama_bench.json").read_text())
    path.write_text("\n\n[\n\n" + json.dumps(rows[0]) + ",\n\n" + json.dumps({**rows[1], "avg_ns": 0}) + "\n]\n")
    assert read_log([path]).left_out == (LeftOut(7, "avg_ns is 0: nothing was measured"),)


def test_of_many_lines_that_cannot_be_used_the_first_are_told(tmp_path):
    left_out = read_log([written(tmp_path, VLLM, *[{**VLLM, "completed": 0}] * 50)]).left_out
    assert len(left_out) == 21
    assert left_out[-1] == LeftOut(22, "30 more could not be used, of which this is the first")


def test_a_packed_file_that_breaks_off_says_so(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    lines = "\n".join(json.dumps({**VLLM, "mean_tpot_ms": 10.0 + i / 7}) for i in range(2000))
    path.write_bytes(gzip.compress(lines.encode())[:-4000])
    log = read_log([path])
    assert 0 < len(log.readings[0].values) < 2000
    assert log.left_out[0] == LeftOut(0, "the packed file breaks off; what stands before is used")


def test_results_of_throughput_and_latency_say_what_to_give_instead(tmp_path):
    path = tmp_path / "throughput.json"
    path.write_text(
        json.dumps({"elapsed_time": 9.0, "num_requests": 10, "total_num_tokens": 5000, "tokens_per_second": 555.0})
    )
    assert refused(path) == (
        "log must be a result that tells prompt tokens from generated ones, got 'FILE (vLLM bench throughput)'; give"
        " the JSON of 'vllm bench serve --save-result', or a CSV with the batch size and the context"
    )
    path.write_text(json.dumps({"avg_latency": 1.0, "latencies": [1.0], "percentiles": {"50": 1.0}}))
    assert "must be a result that says how many tokens were taken in and made" in refused(path)


# Files that the programs wrote


@pytest.mark.parametrize(
    ("name", "known", "model", "points"),
    [
        ("vllm_bench_serve.json", "vLLM bench serve", "tiny", [("decode", "concurrency 8", 6)]),
        (
            "vllm_bench_serve_detailed.jsonl",
            "vLLM bench serve",
            "tiny",
            [("decode", "concurrency 1", 1), ("forward", "concurrency 1", 1), ("decode", "concurrency 8", 6)],
        ),
        (
            "sglang_bench.jsonl",
            "SGLang bench_serving",
            "",
            [("decode", "concurrency 1", 1), ("forward", "concurrency 1", 1), ("decode", "concurrency 4", 3)],
        ),
        (
            "guidellm.json",
            "GuideLLM",
            "tiny",
            [("decode", "concurrency 1", 1), ("forward", "concurrency 1", 1), ("decode", "concurrency 4", 3)],
        ),
        (
            "aiperf_concurrency1.json",
            "AIPerf",
            "tiny",
            [("decode", "concurrency 1", 1), ("forward", "concurrency 1", 1)],
        ),
        ("aiperf_concurrency4.json", "AIPerf", "tiny", [("decode", "concurrency 4", 3)]),
    ],
)
def test_files_of_load_generators(name, known, model, points):
    log = read_log([FILES / name])
    assert (log.format, log.model, log.left_out) == (known, model, ())
    assert [(r.phase, r.label, r.conditions["batch_size"]) for r in log.readings] == points
    for reading in log.readings:
        # The server waits 4 to 5 ms a token and 21 ms a prompt, and the programs add a few of their own.
        low, high = (0.004, 0.007) if reading.phase == "decode" else (0.021, 0.030)
        assert all(low < value < high for value in reading.values)
        length = reading.conditions["context"] - 12 if reading.phase == "decode" else reading.conditions["seq_len"]
        assert 64 <= length <= 65


def test_the_batch_by_littles_law_is_what_aiperf_counts_itself():
    fields = json.loads((FILES / "aiperf_concurrency4.json").read_text())
    (reading,) = read_log([FILES / "aiperf_concurrency4.json"]).readings
    assert reading.conditions["batch_size"] == round(fields["effective_decode_concurrency"]["avg"])


def aiperf_requests(tmp_path, count, apart_s, **changed):
    """Write requests of 100 and 11 tokens that last 1 s each: 0.9 s to the first token, then 10 ms a token."""
    path = tmp_path / "profile_export.jsonl"
    lines = []
    for i in range(count):
        start = 1_795_759_128 * 10**9 + round(i * apart_s * 1e9)
        times = {"time_to_first_token": 900.0, "inter_token_latency": 10.0, **changed}
        counts = {"input_sequence_length": 100, "output_sequence_length": 11}
        metrics = {n: {"value": v, "unit": "ms"} for n, v in times.items()}
        metrics |= {n: {"value": v, "unit": "tokens"} for n, v in counts.items()}
        ends = {"request_start_ns": start, "request_end_ns": start + 10**9}
        metadata = {"credit_issued_ns": start, **ends, "benchmark_phase": "profiling"}
        lines.append(json.dumps({"metadata": metadata, "metrics": metrics}))
    path.write_text("\n".join(lines))
    return path


def test_requests_of_aiperf_one_by_one(tmp_path):
    log = read_log([aiperf_requests(tmp_path, 20, 1.0)])
    decode, forward = log.readings
    assert decode.values == (pytest.approx(0.010),) * 4
    assert decode.conditions == {"batch_size": 1, "context": 106}  # 100 + 5.5
    assert forward.values == (pytest.approx(0.9),) * 4
    assert decode.label == "one request at a time"


def test_requests_of_aiperf_that_overlap(tmp_path):
    # One starts every 20 ms and decodes for 100: five in decode at once, and 50 in flight.
    (decode,) = read_log([aiperf_requests(tmp_path, 1000, 0.02)]).readings
    assert decode.conditions["batch_size"] == 5
    assert decode.label == "up to 50 requests at once"


def test_requests_of_aiperf_that_failed_are_left_out(tmp_path):
    path = aiperf_requests(tmp_path, 3, 1.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["metadata"]["was_cancelled"] = True
    lines[2]["metadata"]["request_end_ns"] = 5
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert read_log([path]).left_out == (
        LeftOut(2, "the request failed"),
        LeftOut(3, "metadata.request_end_ns is not after request_start_ns: the clock goes backwards"),
    )


def test_requests_that_aiperf_wrote():
    decode, forward = read_log([FILES / "aiperf_requests.jsonl"]).readings
    assert 0.004 < decode.values[0] < 0.007
    assert 0.021 < forward.values[0] < 0.040


def test_sglang_results_state_model_plan_and_precision_of_the_server(tmp_path):
    record = json.loads((FILES / "sglang_bench.jsonl").read_text().splitlines()[1])
    server = {"model_path": "Qwen/Qwen3-8B", "tp_size": 2, "quantization": "fp8", "dtype": "bfloat16"}
    path = written(tmp_path, {**record, "backend": "sglang", "server_info": {**server, "version": "0.5.23"}})
    log = read_log([path])
    assert (log.model, log.setup.engine, log.setup.version, log.setup.tp) == ("Qwen/Qwen3-8B", "sglang", "0.5.23", 2)
    assert log.readings[0].conditions["devices"] == 2
    assert log.readings[0].conditions["precision"] == "fp8kv16"


def test_a_guidellm_benchmark_without_requests_is_left_out(tmp_path):
    report = json.loads((FILES / "guidellm.json").read_text())
    report["benchmarks"][0]["metrics"]["request_totals"]["successful"] = 0
    log = read_log([written(tmp_path, report, name="report.json")])
    assert [r.label for r in log.readings] == ["concurrency 4"]
    reason = "benchmarks[0]: metrics.request_totals.successful is 0: nothing was measured"
    assert log.left_out == (LeftOut(1, reason),)


def test_genai_perf(tmp_path):
    log = read_log([FILES / "genai_perf.json"])
    (reading,) = log.readings
    # 998.4 tokens a second, 255 of 256 by decode steps of 7.8 ms: 7.76.
    assert reading.values == (pytest.approx(0.0078),)
    assert reading.conditions == {"batch_size": 8, "context": 640}
    assert (log.format, log.model) == ("GenAI-Perf", "meta-llama/Llama-3.1-8B-Instruct")
    fields = json.loads((FILES / "genai_perf.json").read_text())
    fields["inter_token_latency"]["unit"] = "fortnights"
    reason = "inter_token_latency.unit is 'fortnights': not a unit of time that is known"
    assert refused(written(tmp_path, fields)).endswith(reason)


def test_raw_answers_of_genai_perf_point_to_the_export_beside_them(tmp_path):
    answer = {"timestamp": 1, "response_timestamps": [2]}
    path = written(
        tmp_path, {"experiments": [{"experiment": {"mode": "concurrency", "value": 8}, "requests": [answer]}]}
    )
    assert refused(path) == (
        "log must be an export with counts of tokens, got 'FILE (raw answers of GenAI-Perf)'; give"
        " profile_export_genai_perf.json, which lies beside it"
    )


def test_trtllm_bench_with_and_without_streaming():
    (streamed,) = read_log([FILES / "trtllm_streaming.json"]).readings
    # 6,400 tokens a second, 255 of 256 by decode steps of 9.3 ms: 59.3.
    assert (streamed.quantity, streamed.values) == ("time_s", (pytest.approx(0.0093),))
    assert streamed.conditions == {"devices": 2, "precision": "fp8", "batch_size": 59, "context": 1152}
    log = read_log([FILES / "trtllm_throughput.json"])
    (whole,) = log.readings
    assert whole.conditions["devices"] == 2
    assert (whole.quantity, whole.values, whole.conditions["batch_size"]) == ("throughput", (6400.0,), 62)
    assert (log.hardware, log.setup.engine, log.setup.tp) == ("NVIDIA H100 80GB HBM3", "tensorrt-llm", 2)
    assert [note.code for note in log.notes] == ["decode-with-prefill"]


# llama-bench


@pytest.mark.parametrize("name", ["llama_bench.json", "llama_bench.jsonl"])
def test_llama_bench_json(name):
    log = read_log([FILES / name])
    assert (log.model, log.hardware, log.setup.engine) == ("tiny-llama", "AMD EPYC", "llama.cpp")
    prefill, first, deep = log.readings
    assert [len(r.values) for r in log.readings] == [5, 5, 5]
    assert (prefill.phase, prefill.label) == ("forward", "pp128")
    assert prefill.conditions == {"precision": "q4_k_m", "batch_size": 1, "seq_len": 128}
    assert first.conditions == {"precision": "q4_k_m", "batch_size": 1, "context": 16}
    assert deep.conditions["context"] == 256 + 16
    # The mean rate that the program printed for the same tests, within what it scatters from run to run.
    table = read_log([FILES / "llama_bench.md"]).readings
    for here, there in zip(log.readings, table, strict=True):
        assert sum(here.values) / 5 == pytest.approx(sum(there.values) / 5, rel=0.1)
    reason = "pp128 @ d256 is a prompt behind a filled cache, which no question here asks for: use -d 0"
    assert [part.reason for part in log.left_out] == [reason]


def test_times_of_llama_bench_are_those_of_its_samples(tmp_path):
    row = json.loads((FILES / "llama_bench.jsonl").read_text().splitlines()[1])
    (reading,) = read_log([written(tmp_path, {**row, "samples_ns": [64_000_000, 32_000_000]})]).readings
    assert reading.values == (0.002, 0.001)  # 32 tokens in 64 and 32 ms


def test_devices_of_llama_bench(tmp_path):
    row = json.loads((FILES / "llama_bench.jsonl").read_text().splitlines()[0])
    two = {**row, "gpu_info": "NVIDIA L40S, NVIDIA L40S", "n_gpu_layers": 99}
    log = read_log([written(tmp_path, two)])
    assert (log.hardware, log.readings[0].conditions["devices"]) == ("NVIDIA L40S", 2)
    assert log.setup.layer_split
    assert read_log([written(tmp_path, {**two, "n_gpu_layers": 0})]).hardware == "AMD EPYC"
    assert "devices" not in read_log([written(tmp_path, {**two, "split_mode": "none"})]).readings[0].conditions


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"n_gen": 16}, "pp128+tg16 is prefill and decode in one time: give the tests -p and -n apart, not -pg"),
        ({"n_prompt": 0}, "n_prompt and n_gen are 0: nothing was measured"),
        ({"avg_ns": 0}, "avg_ns is 0: nothing was measured"),
        ({"samples_ns": [100, 0]}, "samples_ns holds times that are not above 0"),
    ],
)
def test_tests_of_llama_bench_that_say_nothing(tmp_path, changed, reason):
    row = json.loads((FILES / "llama_bench.jsonl").read_text().splitlines()[0])
    assert refused(written(tmp_path, {**row, **changed})).endswith("line 1: " + reason)


def test_the_table_of_llama_bench(tmp_path):
    path = tmp_path / "table.md"
    path.write_text(
        "| model              |     size | params | backend | ngl |            test |             t/s |\n"
        "| ------------------ | -------: | -----: | ------- | --: | --------------: | --------------: |\n"
        "| llama 8B Q4_K - Medium | 4.58 GiB | 8.03 B | CUDA | 99 |         pp512 |  5120.00 ± 0.00 |\n"
        "| llama 8B Q4_K - Medium | 4.58 GiB | 8.03 B | CUDA | 99 | tg128 @ d4096 |   100.00 ± 2.00 |\n"
        "| llama 8B Q4_K - Medium | 4.58 GiB | 8.03 B | CUDA | 99 |         tg128 |     0.00 ± 0.00 |\n"
        "| llama 8B Q4_K - Medium | 4.58 GiB |\n\nbuild: 1234abc (5678)\n"
    )
    log = read_log([path])
    assert (log.format, log.model) == ("llama-bench table", "llama 8B")
    prefill, decode = log.readings
    assert prefill.values == (0.1,)
    assert prefill.conditions == {"precision": "q4_k_m", "batch_size": 1, "seq_len": 512}
    assert decode.conditions["context"] == 4096 + 64
    # Five values with the mean and the standard deviation that are printed: a factor of 2 % either way.
    assert len(decode.values) == 5
    assert decode.values[2] == 0.01
    assert decode.values[0] == pytest.approx(0.01 * 2.718281828 ** (0.02 * 1.2649110640673518))
    assert [part.line for part in log.left_out] == [5, 6]


# Ollama


def test_ollama_verbose_lines():
    log = read_log([FILES / "ollama_verbose.txt"])
    first, prefill, second = log.readings
    assert first.values == (pytest.approx(4.2375 / 298),)
    assert first.conditions == {"batch_size": 1, "context": 26 + 149}
    assert (prefill.phase, prefill.values) == ("forward", (pytest.approx(0.383809),))
    assert prefill.conditions == {"batch_size": 1, "seq_len": 26}
    assert second.values == (pytest.approx(62.3 / 4000),)  # 1m2.3s
    assert log.setup.engine == "ollama"


def test_ollama_api_answers():
    log = read_log([FILES / "ollama_api.jsonl"])
    decode, prefill = log.readings
    assert decode.values == (pytest.approx(4.23271 / 259),)
    assert decode.conditions == {"batch_size": 1, "precision": "q4_k_m", "context": 390}  # 260 + 129.5
    assert prefill.conditions["seq_len"] == 260
    assert log.model == "llama3.2:3b-instruct"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "eval count: 0 token(s)\neval duration: 1s\neval rate: 10.0 tokens/s\n",
            "eval_count is 0: nothing was measured",
        ),
        (
            "eval count: 1 token(s)\neval duration: 1s\neval rate: 1.0 tokens/s\n",
            "eval_count is 1: there is no decode step",
        ),
        (
            "eval count: 9 token(s)\neval duration: 1 parsec\neval rate: 10.0 tokens/s\n",
            "eval_duration is '1 parsec', not a finite number",
        ),
    ],
)
def test_ollama_lines_that_say_nothing(tmp_path, text, reason):
    path = tmp_path / "out.txt"
    path.write_text(text)
    assert refused(path).endswith("line 1: " + reason)


def test_an_ollama_rate_alone_is_a_decode_step(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("eval rate:            50.00 tokens/s\n")
    (reading,) = read_log([path]).readings
    assert (reading.values, reading.conditions) == ((0.02,), {"batch_size": 1})


# What they share


@given(st.integers(1, 512), st.integers(2, 4096), st.floats(1e-4, 10.0))
def test_littles_law_finds_the_sequences_in_decode(sequences, output, tpot_s):
    # Each sequence makes one token a step; each request has one more, which its prefill made.
    rate = sequences / tpot_s * output / (output - 1)
    assert Served(prompt=100, output=output, tpot_s=tpot_s, tokens_per_s=rate).batch == sequences


@given(st.lists(st.floats(1e-3, 1.0), max_size=200), st.integers(1, 40))
def test_repeats_are_few_or_means_of_enough_requests(values, at_once):
    found = repeats(values, at_once)
    assert len(found) == 0 or 3 <= len(found) <= 10
    assert len(found) * max(5, at_once) <= len(values)
    if found:
        assert min(values) <= min(found) <= sum(values) / len(values) * (1 + 1e-9)
        assert max(found) <= max(values) * (1 + 1e-9)


def test_points_are_told_apart_by_what_was_asked():
    assert [point_label(8), point_label(0, 4.5), point_label(0, "inf"), point_label(0)] == [
        "concurrency 8",
        "4.5 requests/s",
        "all requests at once",
        "",
    ]


@pytest.mark.parametrize(
    ("names", "precision"),
    [
        (("fp8", "bfloat16", "auto"), "fp8kv16"),
        (("FP8", "bfloat16", "FP8"), "fp8"),
        (("NVFP4", "bfloat16", "FP8"), "nvfp4kvfp8"),
        ((None, "torch.bfloat16", "auto"), "bf16"),
        (("W4A16_AWQ", "float16", None), "w4a16"),
        (("unheard-of", "float16", None), ""),
        ((None, "auto", None), ""),
    ],
)
def test_precisions_of_engines(names, precision):
    assert engine_precision(*names) == precision


@pytest.mark.parametrize(
    ("name", "precision", "model"),
    [
        ("Llama-3.1-8B-Instruct-Q4_K_M.gguf", "q4_k_m", "Llama-3.1-8B-Instruct"),
        ("Llama-3.3-70B-Q8_0-00001-of-00002.gguf", "q8_0", "Llama-3.3-70B"),
        ("llama 7B IQ4_XS - 4.25 bpw", "iq4_xs", "llama 7B"),
        ("llama 8B all F32", "fp32", "llama 8B"),
        ("qwen2 1B F16", "fp16", "qwen2 1B"),
        ("llama3.2:3b", "", "llama3.2:3b"),
    ],
)
def test_precisions_of_gguf_files(name, precision, model):
    assert (gguf_precision(name), without_gguf_precision(name)) == (precision, model)
    assert gguf_precision(name, "q8_0") == (precision + "kv8" if precision else "")


@pytest.mark.parametrize("name", ["ollama_verbose.txt", "llama_bench.md", "llama_bench.jsonl"])
def test_output_that_powershell_redirected(tmp_path, name):
    path = tmp_path / name
    path.write_text((FILES / name).read_text(), encoding="utf-16", newline="\r\n")
    assert read_log([path]) == read_log([FILES / name])


def test_a_file_in_no_known_format_is_told_which_were_looked_for(tmp_path):
    path = tmp_path / "notes.bin"
    path.write_text("a note of somebody\n")
    lines = refused(path).splitlines()
    assert lines[0] == "log must be a log in a known format, got 'FILE'; these were looked for:"
    assert "  - vLLM bench serve: JSON with model_id, completed, total_output_tokens and mean_tpot_ms" in lines
    assert lines[-1].startswith("or give a CSV with a header line: phase, batch_size,")
