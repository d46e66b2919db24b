"""Sweeps on disk: one table for every reader, whole after a kill or a full disk, and never two sweeps in one folder."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from mlsysim import Engine, Models
from mlsysim.errors import InvalidValue
from mlsysim.sweep import pieces
from mlsysim.sweep.reduce import Summary, Top
from mlsysim.sweep.store import NotWritten

parquet = pytest.importorskip("pyarrow.parquet")

FIELDS = {
    "models": ["gpt2", "llama-3.1-8b"],
    "hardware": ["a100", "l4"],
    "phase": "decode",
    "batch_size": range(1, 61),
    "keep": ["time_s", "bound", "memory_bytes"],
}
POINTS = 240


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Cut sweeps into small pieces: boxes of 8 points, tasks of 16."""
    monkeypatch.setattr(pieces, "BOX", 8)
    monkeypatch.setattr(pieces, "TASK", 16)
    monkeypatch.setattr(pieces, "FAR", 1)


def table(folder):
    return parquet.read_table(folder).to_pandas()


def test_every_reader_of_parquet_reads_the_folder_as_one_table(tmp_path):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    stored = Engine.sweep(**FIELDS, to=tmp_path / "out")
    assert (stored.points, stored.path) == (POINTS, str(tmp_path / "out"))
    assert stored.parts == len(list((tmp_path / "out").iterdir())) > 10
    columns = Engine.sweep(**FIELDS)
    whole = pandas.read_parquet(tmp_path / "out")
    pandas.testing.assert_frame_equal(whole.astype(columns.to_pandas().dtypes), columns.to_pandas())
    assert polars.read_parquet(tmp_path / "out").height == POINTS
    fields = {field.name: field.metadata for field in parquet.read_schema(next((tmp_path / "out").iterdir()))}
    assert fields["time_s"] == {b"unit": b"s"}
    assert not fields["bound"]


def test_blocks_of_a_few_points_share_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "TASK", 1000)
    monkeypatch.setattr(pieces, "FAR", 1)
    monkeypatch.setattr(pieces, "BOX", 1000)
    Engine.sweep(**{**FIELDS, "devices": [1, 2, 4], "batch_size": [1, 2]}, to=tmp_path / "out")
    (part,) = (tmp_path / "out").iterdir()
    assert parquet.ParquetFile(part).num_row_groups == 1


def test_a_sweep_goes_on_only_where_that_was_asked_for(tmp_path):
    whole = Engine.sweep(**FIELDS, to=tmp_path / "whole")
    Engine.sweep(**FIELDS, to=tmp_path / "out")
    parts = sorted((tmp_path / "out").iterdir())
    kept = parts[0].stat().st_mtime_ns
    for part in parts[1::2]:
        part.unlink()
    with pytest.raises(InvalidValue) as refused:
        Engine.sweep(**FIELDS, to=tmp_path / "out")
    assert str(refused.value).endswith(
        "it holds parts of this sweep; go on with resume=True (--resume), or name another folder"
    )
    assert Engine.sweep(**FIELDS, to=tmp_path / "out", resume=True) == whole._replace(path=str(tmp_path / "out"))
    assert parts[0].stat().st_mtime_ns == kept
    assert table(tmp_path / "out").equals(table(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"batch_size": range(1, 62)}, 'its batch_size is {"from": 1.0, "count": 60, "step": 1.0'),
        ({"models": ["gpt2"]}, "its model is ["),
        ({"phase": "forward"}, 'its phase is ["decode"], not ["forward"]'),
        ({"keep": ["time_s"]}, 'its quantities is ["time_s", "bound", "memory_bytes"], not ["time_s"]'),
        ({"context": [128]}, "its context is null, not [128.0]"),
        ({"efficiency": 0.001}, "its efficiency is null, not [0.001]"),
        ({"efficiency": {"low": 0.001, "high": 0.002}, "keep": ["time_s"]}, "its efficiency is null, not "),
    ],
)
def test_another_sweep_is_refused_with_what_differs(tmp_path, changed, said):
    Engine.sweep(**FIELDS, to=tmp_path)
    for resume in (False, True):
        with pytest.raises(InvalidValue) as refused:
            Engine.sweep(**{**FIELDS, **changed}, to=tmp_path, resume=resume)
        assert f"it holds another sweep: {said}" in str(refused.value)


@pytest.mark.parametrize("other", [{"low": 0.001, "high": 0.003}, {"normal": [0.0015, 0.0001]}])
def test_another_distribution_is_another_sweep(tmp_path, other):
    asked = {**FIELDS, "keep": ["time_s"], "batch_size": [1, 2], "draws": 16}
    Engine.sweep(**asked, efficiency={"low": 0.001, "high": 0.002}, to=tmp_path)
    with pytest.raises(InvalidValue, match="it holds another sweep"):
        Engine.sweep(**asked, efficiency=other, to=tmp_path, resume=True)


def test_another_model_of_the_same_name_is_another_sweep(tmp_path):
    asked = {"hardware": "a100", "keep": ["time_s"], "to": tmp_path}
    Engine.sweep(Models.GPT2, **asked)
    Engine.sweep(Models.GPT2, **asked, resume=True)
    with pytest.raises(InvalidValue, match="it holds another sweep: its model is"):
        Engine.sweep(replace(Models.GPT2, vocab=50_258), **asked, resume=True)


def test_what_else_is_in_a_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(
        InvalidValue, match=r"an empty or new folder, .*there is something else in it, such as thesis\.tex"
    ):
        Engine.sweep(**FIELDS, to=tmp_path)
    with pytest.raises(InvalidValue, match=r"an empty or new folder, .*; that is a file"):
        Engine.sweep(**FIELDS, to=tmp_path / "thesis.tex")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("thesis.tex", "dear")]
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part-0000000.parquet").write_text("not Parquet")
    with pytest.raises(InvalidValue, match=r"part-0000000\.parquet is no part of a sweep"):
        Engine.sweep(**FIELDS, to=tmp_path / "parts", resume=True)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritten, match=r"cannot write to .*file/out: Not a directory"):
        Engine.sweep(**FIELDS, to=tmp_path / "file" / "out")
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(NotWritten, match="Permission denied"):
            Engine.sweep(**FIELDS, to=tmp_path)


@pytest.mark.parametrize("by", [{"workers": 1}, {}, {"workers": 2}])
def test_a_full_disk_leaves_whole_parts_and_says_how_to_go_on(tmp_path, by):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    Engine.sweep(**FIELDS, to=tmp_path / "whole")

    def fill(*_):
        """Let no file be larger than a kilobyte from here on."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    try:
        if by == {"workers": 2}:  # processes take the limit with them when they begin
            fill()
        with pytest.raises(NotWritten) as refused:
            Engine.sweep(**FIELDS, to=tmp_path / "out", progress=fill, **by)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write" in str(refused.value)
    assert str(refused.value).endswith("what was written is whole: resume=True (--resume) goes on")
    parts = sorted((tmp_path / "out").iterdir())
    assert len(parts) < 15
    assert all(parquet.read_table(part).num_rows for part in parts)
    Engine.sweep(**FIELDS, to=tmp_path / "out", resume=True)
    assert table(tmp_path / "out").equals(table(tmp_path / "whole"))


SLOW = """
import sys, time
from mlsysim import Engine
from mlsysim.sweep import pieces, store
pieces.BOX, pieces.TASK, pieces.FAR = 8, 16, 1
whole = store._write
def slowly(path, tables, metadata):
    def slow():
        for table in tables:
            yield table
            time.sleep(0.05)
    return whole(path, slow(), metadata)
store._write = slowly
Engine.sweep(["gpt2", "llama-3.1-8b"], ["a100", "l4"], phase="decode", batch_size=range(1, 61),
             keep=["time_s", "bound", "memory_bytes"], to=sys.argv[1], **eval(sys.argv[2]))
"""


def begun(folder, by="{}", parts=3):
    """Start a sweep in another process, and return it once some parts are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), by], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    for _ in range(600):
        if folder.exists() and len(list(folder.glob("part-*"))) >= parts:
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


def test_a_killed_sweep_goes_on_to_the_same_table(tmp_path):
    process = begun(tmp_path / "out")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert 3 <= len(parts) < 15
    assert all(parquet.read_table(part).num_rows for part in parts)
    Engine.sweep(**FIELDS, to=tmp_path / "out", resume=True)
    Engine.sweep(**FIELDS, to=tmp_path / "whole")
    assert table(tmp_path / "out").equals(table(tmp_path / "whole"))
    assert all(one.name.startswith("part-") for one in (tmp_path / "out").iterdir())  # no leavings


def test_reductions_of_a_sweep_that_goes_on_are_of_all_points(tmp_path):
    reduce = [Top(3, "time_s"), Summary("time_s")]
    alone = Engine.sweep(**FIELDS, reduce=reduce)
    Engine.sweep(**FIELDS, to=tmp_path)
    for part in sorted(tmp_path.iterdir())[2:]:
        part.unlink()
    found = Engine.sweep(**FIELDS, to=tmp_path, resume=True, reduce=reduce)
    assert found.points == POINTS
    assert found.kept[1] == alone.kept[1]
    assert np.array_equal(found.kept[0]["time_s"], alone.kept[0]["time_s"])
    assert len(table(tmp_path)) == POINTS


def test_a_part_says_of_which_sweep_it_is(tmp_path):
    Engine.sweep(**FIELDS, to=tmp_path)
    about = json.loads(parquet.read_schema(tmp_path / "part-0000000.parquet").metadata[b"mlsysim.sweep"])
    assert about["points"] == POINTS
    assert about["fields"]["batch_size"] == {"from": 1.0, "count": 60, "step": 1.0, "factor": 1.0, "to": 60.0}
    assert about["quantities"] == ["time_s", "bound", "memory_bytes"]
