"""Files of several programs in one calibration: what one of them says of the others."""

import json
from pathlib import Path

import pytest

from mlsysim.calibration.from_log import calibrate_log
from mlsysim.calibration.logs import read_log

FILES = Path(__file__).parent / "files"
LLAMA = "meta-llama/Llama-3.1-8B"
LINE = " iteration {i:8d}/ 99 | elapsed time per iteration (ms): 5000.0 | global batch size: 64 |\n"
TABLE = "model,phase,time_s,batch_size,seq_len\n{model},training,5.0,64,2048\n"


@pytest.fixture
def steps(tmp_path):
    path = tmp_path / "train.log"
    path.write_text("".join(LINE.format(i=i) for i in range(1, 20)))
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(TABLE.format(model=LLAMA))
    return path


def taken(notes):
    return [note.message for note in notes if note.code == "model-from-other-file"]


@pytest.mark.parametrize("first", ["steps", "table"])
def test_a_model_that_another_programs_file_names_is_told(steps, table, first):
    files = [steps, table] if first == "steps" else [table, steps]
    log = read_log(files)
    named = read_log([table]).format
    assert log.model == LLAMA
    assert taken(log.notes) == [f"Megatron-LM names no model: it is taken to be of {LLAMA}, which {named} names"]
    found = calibrate_log(files, hardware="h100", devices=64)
    assert all(taken(point.notes) == taken(log.notes) for point in found)


def test_a_model_that_is_stated_is_taken_from_no_file(steps, table):
    found = calibrate_log([steps, table], model="llama-3.1-8b", hardware="h100", devices=64)
    assert not [message for point in found for message in taken(point.notes)]


def test_files_of_one_program_are_of_one_model(tmp_path):
    whole = json.loads((FILES / "vllm_bench_serve.json").read_text())
    for name, more in (("a.json", {}), ("b.json", {"model_id": "", "max_concurrency": 4})):
        (tmp_path / name).write_text(json.dumps({**whole, **more}))
    log = read_log([tmp_path / "a.json", tmp_path / "b.json"])
    assert (log.model, taken(log.notes)) == ("tiny", [])


def test_where_no_file_names_a_model_nothing_is_taken(steps, tmp_path):
    other = tmp_path / "runs.csv"
    other.write_text("phase,time_s,batch_size\ntraining,5.0,64\n")
    assert taken(read_log([steps, other]).notes) == []
