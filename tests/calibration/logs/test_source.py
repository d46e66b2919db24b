"""Files as they come: packed, cut off, empty, in another encoding, in no known format."""

import gzip
import os
import threading

import pytest

from mlsysim.calibration.logs import read_log
from mlsysim.calibration.logs.source import BLOCK_BYTES, Source
from mlsysim.calibration.logs.steps import Steps
from mlsysim.errors import InvalidValue
from mlsysim.setup import UNKNOWN

STEP = "iter {i}: loss 2.1234, time {ms}ms, mfu 37.10%\n"


def steps(count, first=0):
    return "".join(STEP.format(i=i, ms=f"{100 + i % 7}.50") for i in range(first, first + count))


def saved(tmp_path, content, name="run.log"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_ends_of_lines_change_nothing(tmp_path, encoding, end):
    text = "a header\n\n" + steps(3)
    (reading,) = read_log([saved(tmp_path, text.replace("\n", end).encode(encoding))]).readings
    assert reading.values == pytest.approx((0.1005, 0.1015, 0.1025))
    assert reading.lines == (3, 4, 5)


def test_a_mark_of_the_encoding_hides_no_json(tmp_path):
    rows = '{"_step": 1, "_runtime": 1, "step_time": 0.5}\n{"_step": 2, "_runtime": 2, "step_time": 0.6}\n'
    log = read_log([saved(tmp_path, rows.encode("utf-8-sig"), "rows.jsonl")])
    assert (log.readings[0].values, log.left_out) == ((0.5, 0.6), ())


def test_lines_are_numbered_across_blocks(tmp_path):
    text = "x" * 79 + "\n"
    text = text * (BLOCK_BYTES // 80 + 10) + steps(1) + text * (BLOCK_BYTES // 80) + steps(1, first=1)
    (reading,) = read_log([saved(tmp_path, text.encode())]).readings
    assert reading.lines == (BLOCK_BYTES // 80 + 11, 2 * (BLOCK_BYTES // 80) + 12)


def test_blocks_hold_every_line_once_however_long(tmp_path):
    content = b"short\n" + b"y" * (2 * BLOCK_BYTES + 5) + b"\n\nlast, without an end"
    source = Source(saved(tmp_path, content))
    assert b"".join(block for _, block in source.blocks()) == content
    assert [(number, len(line)) for number, line in source.lines()] == [
        (1, 6),
        (2, 2 * BLOCK_BYTES + 6),
        (3, 1),
        (4, 20),
    ]


def test_a_packed_log_that_breaks_off_gives_what_is_whole(tmp_path):
    packed = gzip.compress(steps(20_000).encode())
    log = read_log([saved(tmp_path, packed[: len(packed) // 2], "run.log.gz")])
    (reading,) = log.readings
    assert 1000 < len(reading.values) < 20_000
    assert reading.values[:2] == pytest.approx((0.1005, 0.1015))
    assert (0, "the packed file breaks off") in log.left_out


@pytest.mark.parametrize("content", [b"hello world\n", b"{", b"[", b'{"a": 1}'])
def test_what_is_in_no_known_format_is_told_what_was_looked_for(tmp_path, content):
    path = saved(tmp_path, content)
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    told = str(caught.value)
    assert told.startswith(f"log must be a log in a known format, got {str(path)!r}; these were looked for:")
    for name in ("Megatron-LM", ":::MLLOG", "ProfilerStep#N", "log_history", "Wall time,Step,Value", "time_s"):
        assert name in told


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b"", "run.log", "it is empty"),
        (b"\n\n", "run.log", "it is empty"),
        (b"\x00\x01\x02" * 100, "run.log", "it is not text"),
        (b"\x08\x09\x12\x00", "net.onnx", "it is a network: `mlsysim measure` runs it"),
    ],
)
def test_what_can_be_no_log_is_told_so_and_not_every_format(tmp_path, content, name, why):
    path = saved(tmp_path, content, name)
    with pytest.raises(InvalidValue) as caught:
        read_log([path])
    assert str(caught.value) == f"log must be a log in a known format, got {str(path)!r}; {why}"


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    with pytest.raises(InvalidValue) as caught:
        read_log([tmp_path / "none.log"])
    assert str(caught.value) == (
        f"log must be a file that can be read, got {str(tmp_path / 'none.log')!r}; No such file or directory"
    )
    with pytest.raises(InvalidValue, match="Is a directory"):
        read_log([tmp_path])


def test_of_one_reason_the_first_lines_are_told_apart():
    found = Steps("run.log", "time_s")
    for line in range(1, 21):
        found.leave_out(line, "odd")
    found.leave_out(9, "other")
    assert found.left_out == (
        (1, "odd"),
        (2, "odd"),
        (3, "odd"),
        (4, "odd"),
        (5, "odd"),
        (6, "odd (15 more)"),
        (9, "other"),
    )


def test_pauses_after_the_last_step_are_in_no_step():
    found = Steps("run.log", "time_s")
    found.add(1, 1.0)
    found.pause("evaluation")
    assert found.reading("training").pauses == {}


def _point(batch, time):
    return f"phase,batch_size,context,time (ms)\ndecode,{batch},1024,{time}\n".encode()


def test_files_of_one_point_are_its_repeats_and_a_file_twice_is_one(tmp_path):
    a = saved(tmp_path, _point(8, 12.0), "a.csv")
    b = saved(tmp_path, _point(8, 12.4), "b.csv")
    c = saved(tmp_path, _point(16, 13.0), "c.csv")
    log = read_log([a, b, c, a])
    assert [r.values for r in log.readings] == [pytest.approx((0.012, 0.0124)), pytest.approx((0.013,))]
    assert log.readings[0].lines == (2, 2)


def test_series_of_steps_in_two_files_stay_two(tmp_path):
    one, two = saved(tmp_path, steps(20).encode(), "a.log"), saved(tmp_path, steps(30).encode(), "b.log")
    assert [len(r.values) for r in read_log([one, two]).readings] == [20, 30]


def test_an_engine_is_that_of_all_files_or_not_known(tmp_path):
    csv, nano = saved(tmp_path, _point(8, 12.0), "a.csv"), saved(tmp_path, steps(20).encode(), "b.log")
    assert read_log([nano]).setup.engine == "nanogpt"
    assert read_log([nano, csv]).setup == UNKNOWN


def test_the_part_of_a_run_without_its_header_is_as_the_part_that_has_it(tmp_path):
    header = "tokens per iteration will be: 491,520\n"
    first = saved(tmp_path, (header + steps(20)).encode(), "a.log")
    again = saved(tmp_path, steps(30, first=15).encode(), "b.log")
    for paths in ([first, again], [again, first]):
        log = read_log(paths)
        assert [r.tokens for r in log.readings] == [491_520, 491_520]
        assert [note.message for note in log.notes] == [
            "a file does not say what a step holds: taken from the other file of the same program, which does"
        ]
    assert read_log([again]).readings[0].tokens == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_as_a_file_is(tmp_path, packed):
    content = steps(20).encode()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(content) if packed else content,))
    writer.start()
    (reading,) = read_log([pipe]).readings
    writer.join()
    assert reading.values == read_log([saved(tmp_path, content)]).readings[0].values
