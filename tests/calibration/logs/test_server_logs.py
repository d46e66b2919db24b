"""What servers print and export while they run: log lines, and scrapes of /metrics before and after."""

from pathlib import Path

import pytest

from mlsysim.calibration.logs import read_log
from mlsysim.errors import InvalidValue

FILES = Path(__file__).parent / "files"
BEFORE, AFTER = FILES / "vllm_metrics_before.txt", FILES / "vllm_metrics_after.txt"


def changed(tmp_path, file, *pairs, name=""):
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / (name or file.name)
    path.write_text(text)
    return path


def refused(*paths):
    with pytest.raises(InvalidValue) as raised:
        read_log(paths)
    text = str(raised.value)
    for path in paths:
        text = text.replace(str(path), path.name)
    return text


# vLLM's log


def test_lines_without_prompts_are_series_one_for_each_number_of_requests():
    log = read_log([FILES / "vllm_server.log"])
    assert (log.model, log.setup.engine, log.setup.version) == ("meta-llama/Llama-3.1-8B-Instruct", "vllm", "0.33.0")
    assert (log.setup.tp, log.left_out) == (2, ())
    eight, sixteen = log.readings
    assert (eight.phase, eight.quantity, eight.unit, eight.steps) == ("decode", "throughput", "tokens/s", True)
    assert eight.values == (1010.0, 1000.0, 1004.0, 996.0, 1002.0, 1001.0)
    # 2.0 to 3.0 % of 400,000 tokens, shared by 8.
    assert eight.conditions == {"devices": 2, "precision": "bf16", "batch_size": 8, "context": 1250}
    # The first line with 16 covers the change from 8 to 16 and is not used.
    assert sixteen.values == (1801.0, 1802.0, 1803.0, 1804.0, 1805.0)
    # Its count of FLOPs is of the same lines: told, and not taken for a second measurement.
    assert [note.message.split(" a device; ") for note in log.notes if note.code == "own-count-of-flops"] == [
        ["8 requests at once, vLLM's own count of FLOPs: 8.1 TFLOP/s", "eta is from the tokens of the same lines"],
        ["16 requests at once, vLLM's own count of FLOPs: 14.6 TFLOP/s", "eta is from the tokens of the same lines"],
    ]


def test_a_count_of_flops_of_prefills_is_a_reading(tmp_path):
    pairs = [(f"Avg generation throughput: 100{k}.0", "Avg generation throughput: 10.0") for k in (0, 2, 4)]
    pairs.append(("Avg prompt throughput: 0.0", "Avg prompt throughput: 9000.0"))
    log = read_log([changed(tmp_path, FILES / "vllm_server.log", *pairs)])
    counted = log.readings[-1]
    assert (counted.phase, counted.quantity, counted.per_device) == ("forward", "achieved_flops", True)
    assert counted.values == (8.1e12,) * 3
    assert counted.conditions == {
        "devices": 2,
        "precision": "bf16",
        "convention": "full-attention",
        "batch_size": 8,
    }


def test_without_enough_lines_of_decode_alone_all_are_used_and_a_note_says_so(tmp_path):
    path = changed(tmp_path, FILES / "vllm_server.log", ("Avg prompt throughput: 0.0", "Avg prompt throughput: 819.2"))
    log = read_log([path])
    assert [len(r.values) for r in log.readings] == [7, 5]
    assert "decode-among-prefills" in [note.code for note in log.notes]


def test_a_count_of_flops_in_both_phases_is_of_neither(tmp_path):
    path = changed(tmp_path, FILES / "vllm_server.log", ("Avg prompt throughput: 0.0", "Avg prompt throughput: 819.2"))
    assert {r.quantity for r in read_log([path]).readings} == {"throughput"}


def test_iterations_are_decode_steps_one_by_one():
    four, five = read_log([FILES / "vllm_iterations.log"]).readings
    assert (four.quantity, four.steps, four.conditions["batch_size"]) == ("time_s", True, 4)
    assert four.values == tuple(pytest.approx((7.9 + 0.01 * k) / 1e3) for k in range(2, 10))
    assert five.values == (0.0081,) * 6


def test_a_clock_that_goes_backwards_is_refused(tmp_path):
    path = changed(tmp_path, FILES / "vllm_server.log", ("11-27 10:01:30", "11-27 09:01:30"))
    text = refused(path)
    assert text.startswith("vllm_server.log, line 10: time must be no earlier than the lines before (")
    assert text.endswith("; the clock goes backwards: cut the log where a run starts")


def test_the_turn_of_the_year_is_no_step_back(tmp_path):
    pairs = [(f"11-27 10:02:{s}0", f"01-01 00:00:{s}0") for s in range(6)]
    pairs += [(f"11-27 10:03:{s}0", f"01-01 00:01:{s}0") for s in (0, 1, 2)]
    path = changed(tmp_path, FILES / "vllm_server.log", *pairs, ("11-27 10:0", "12-31 23:5"))
    assert read_log([path]).readings[0].values[0] == 1010.0


def test_two_runs_in_one_log_are_refused(tmp_path):
    text = (FILES / "vllm_server.log").read_text()
    path = tmp_path / "twice.log"
    path.write_text(text + text)
    line = text.count("\n") + 1
    assert refused(path) == (
        f"twice.log, line {line}: engine must be the log of one run (an engine had started before), got"
        " 'meta-llama/Llama-3.1-8B-Instruct'; cut the log where an engine starts"
    )


def test_throughput_that_is_no_number_is_left_out(tmp_path):
    path = changed(tmp_path, FILES / "vllm_server.log", ("generation throughput: 1004.0", "generation throughput: nan"))
    log = read_log([path])
    assert 1004.0 not in log.readings[0].values
    assert [(part.line, part.reason) for part in log.left_out] == [
        (10, "throughput is nan, which no step takes"),
    ]


def test_a_server_that_did_nothing_is_refused(tmp_path):
    path = tmp_path / "idle.log"
    path.write_text("\n".join((FILES / "vllm_server.log").read_text().splitlines()[:3]))
    assert refused(path) == (
        "log must be a log with at least one usable line, got 'idle.log'; it holds no line of an interval in which"
        " tokens were generated"
    )


def test_engines_counted_together_are_devices_together(tmp_path):
    path = changed(tmp_path, FILES / "vllm_server.log", ("Engine 000: Avg", "2 Engines Aggregated: Avg"))
    log = read_log([path])
    assert log.readings[0].conditions["devices"] == 4
    assert log.readings[0].conditions["context"] == 2500
    assert log.setup.dp == 2


# SGLang's log


def test_sglang_decode_lines():
    log = read_log([FILES / "sglang_server.log"])
    (rates,) = log.readings
    # The first line has the prefill in it, and its interval began with no request running.
    assert rates.values == tuple(1200.0 + i for i in range(1, 8))
    assert rates.conditions == {"precision": "fp8kv16", "batch_size": 8, "context": 1224}
    assert "19.8 TFLOP/s a device" in next(n.message for n in log.notes if n.code == "own-count-of-flops")
    assert (log.model, log.setup.engine) == ("Qwen/Qwen3-8B", "sglang")


def test_sglang_lines_with_drafts_are_left_out(tmp_path):
    path = changed(tmp_path, FILES / "sglang_server.log", ("cuda graph: True", "accept len: 2.50, cuda graph: True"))
    assert "speculative decoding: a token's time is not a step's; measure without drafts" in refused(path)


# Scrapes


@pytest.mark.parametrize("paths", [(BEFORE, AFTER), (AFTER, BEFORE)])
def test_two_scrapes_tell_what_happened_in_between(paths):
    log = read_log(paths)
    (reading,) = log.readings
    # 25,500 times between tokens of 8.6 ms each, in 3,300 steps: 7.73 sequences; requests of 1,024 and 256 tokens.
    assert reading.values == (pytest.approx(0.0086),)
    assert reading.conditions == {"batch_size": 8, "context": 1152}
    assert (log.format, log.model, reading.label) == (
        "vLLM /metrics",
        "meta-llama/Llama-3.1-8B-Instruct",
        "scrape 1 to 2",
    )
    # 2.2e15 FLOPs in the minute between the two.
    own = next(note.message for note in log.notes if note.code == "own-count-of-flops")
    assert own.startswith(
        "scrape 1 to 2: by vLLM's own count 36.7 TFLOP/s a device, 102,400 prompt and 25,600 generated"
    )


def test_a_count_of_flops_of_prefills_between_scrapes_is_a_reading(tmp_path):
    after = changed(tmp_path, AFTER, ('Llama-3.1-8B-Instruct"} 110400.0', 'Llama-3.1-8B-Instruct"} 1110400.0'))
    _, counted = read_log([BEFORE, after]).readings
    assert (counted.phase, counted.quantity, counted.per_device) == ("forward", "achieved_flops", True)
    assert counted.values == (pytest.approx(2.2e15 / 60),)
    assert counted.conditions["convention"] == "full-attention"


def test_one_scrape_of_vllm_is_of_the_whole_life_of_the_server():
    log = read_log([AFTER])
    assert log.readings[0].label == "since the server started"
    assert [note.code for note in log.notes] == ["since-start", "decode-among-prefills"]


def test_one_scrape_of_sglang_is_not_enough():
    assert refused(FILES / "sglang_metrics_after.txt") == (
        "log must be scrapes between which tokens were generated, got 'sglang_metrics_after.txt'; since the server"
        " started: one scrape does not tell how many requests were in decode: two are needed; scrape twice under load:"
        ' (echo "# scraped_at $(date +%s.%N)"; curl -s localhost:8000/metrics) > first.txt'
    )


def test_sglang_scrapes_by_littles_law_and_without_a_time_by_what_ran(tmp_path):
    pair = [FILES / "sglang_metrics_before.txt", FILES / "sglang_metrics_after.txt"]
    (reading,) = read_log(pair).readings
    # 16,000 tokens by decode in 10 s, 10 ms each: 16 sequences.
    assert (reading.values, reading.conditions["batch_size"]) == ((pytest.approx(0.010),), 16)
    stamped = [("# scraped_at 1764220110.0", "# scraped_at 1764220120.0")]
    slower = changed(tmp_path, pair[1], *stamped)
    assert read_log([pair[0], slower]).readings[0].conditions["batch_size"] == 8
    bare = [changed(tmp_path, p, ("# scraped_at", "# made"), (" 16.0", " 12.0"), name=p.stem) for p in pair]
    log = read_log(bare)
    assert log.readings[0].conditions["batch_size"] == 12
    assert "batch-from-gauge" in [note.code for note in log.notes]


def test_scrapes_of_different_runs_are_refused(tmp_path):
    restarted = changed(tmp_path, AFTER, ("seconds 1.76422e+09", "seconds 1.76423e+09"))
    assert refused(BEFORE, restarted) == (
        "log must be a scrape of the same run as the one before it, got 'vllm_metrics_after.txt';"
        " process_start_time_seconds differs: the server was restarted"
    )
    other = changed(tmp_path, AFTER, ("meta-llama/Llama-3.1-8B-Instruct", "other"))
    assert "must be scrapes of one model ('meta-llama/Llama-3.1-8B-Instruct'), got 'other'" in refused(BEFORE, other)


def test_a_counter_or_a_clock_that_goes_backwards_is_refused(tmp_path):
    fewer = changed(tmp_path, AFTER, ("} 108.0", "} 3.0"))
    text = refused(BEFORE, fewer)
    assert "vllm_metrics_after.txt: request_success_total must be at least 8, as in vllm_metrics_before.txt" in text
    assert text.endswith("a counter only grows: the server was restarted, or these are different servers")
    earlier = changed(tmp_path, AFTER, ("scraped_at 1764220160.25", "scraped_at 1764220000.25"))
    assert refused(BEFORE, earlier).endswith("got 1764220000.25; the clock goes backwards")


def test_scrapes_between_which_nothing_happened_are_refused(tmp_path):
    again = changed(tmp_path, BEFORE, ("scraped_at 1764220100.25", "scraped_at 1764220200.25"), name="again.txt")
    assert "scrape 1 to 2: generation_tokens_total did not grow: no token was generated" in refused(BEFORE, again)


def test_two_models_in_one_scrape_are_refused(tmp_path):
    path = tmp_path / "two.txt"
    path.write_text(AFTER.read_text() + 'vllm:generation_tokens_total{engine="0",model_name="other"} 5.0\n')
    text = refused(path)
    assert "model_name must be 'meta-llama/Llama-3.1-8B-Instruct', as before it, got 'other'" in text


def test_engines_behind_one_endpoint_are_added_up(tmp_path):
    def doubled(file):
        text = file.read_text()
        rows = [row for row in text.splitlines() if row.startswith("vllm:")]
        path = tmp_path / file.name
        path.write_text(text + "\n".join(row.replace('engine="0"', 'engine="1"') for row in rows) + "\n")
        return path

    log = read_log([doubled(BEFORE), doubled(AFTER)])
    assert log.readings[0].conditions["batch_size"] == 15  # 2 x 7.73
    assert log.setup.dp == 2
