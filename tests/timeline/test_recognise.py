import gzip
import json
from pathlib import Path

import pytest
from nsight_files import Export

from mlsysim.calibration.logs.source import Source
from mlsysim.errors import InvalidValue
from mlsysim.timeline.recognise import FORMATS, recognised

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize(
    ("file", "name", "source"),
    [
        ("plain.json.gz", "PyTorch profiler", "pytorch-cpu"),
        ("garbage_collection_stack.json.gz", "PyTorch profiler", "pytorch-cpu"),
        ("straggler.0.json.gz", "PyTorch profiler", "pytorch-cpu"),
        ("jax.trace.json.gz", "JAX or XLA", "xla"),
        ("onnxruntime.json.gz", "ONNX Runtime", "onnxruntime"),
    ],
)
def test_recorded_traces_are_known(file: str, name: str, source: str):
    known = recognised(Source(FILES / file))
    assert known.name == name
    trace = known.read(Source(FILES / file))
    assert trace.source == source
    assert trace.marks


@pytest.mark.parametrize("file", ["plain.json.gz", "jax.trace.json.gz", "onnxruntime.json.gz"])
def test_a_packed_trace_that_is_cut_off_is_known_by_its_head(file: str, tmp_path: Path):
    whole = (FILES / file).read_bytes()
    cut = tmp_path / file
    cut.write_bytes(whole[: len(whole) // 2])
    assert recognised(Source(cut)) is recognised(Source(FILES / file))


@pytest.mark.parametrize("file", ["plain.json.gz", "jax.trace.json.gz", "onnxruntime.json.gz"])
def test_a_trace_is_known_unpacked_and_under_any_name(file: str, tmp_path: Path):
    other = tmp_path / "trace"
    other.write_bytes(gzip.decompress((FILES / file).read_bytes()))
    assert recognised(Source(other)) is recognised(Source(FILES / file))


def test_an_export_of_nsight_systems(tmp_path: Path):
    export = Export(tmp_path / "run.sqlite")
    export.kernel(5, 9, "gemm")
    source = Source(export.done())
    assert recognised(source).name == "Nsight Systems"
    assert len(recognised(source).read_all(source)[0].device) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "gemm", "ts": 1, "dur": 2}]}',
        '[{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "ts": 1, "dur": 2}]',
        '{"schemaVersion": 1, "deviceProperties": [], "traceEvents": []}',
    ],
)
def test_traces_of_pytorch_by_what_is_in_them(text: str, tmp_path: Path):
    path = tmp_path / "trace.json"
    path.write_text(text)
    assert recognised(Source(path)).name == "PyTorch profiler"


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("empty.json", b"", "it is empty"),
        ("blank.json", b" \n", "it is empty"),
        ("cut.json.gz", gzip.compress(b"{}" * 99)[:11], "its packed content breaks off at once"),
        ("run.nsys-rep", b"\x01\x02\0", "export it with `nsys export --type sqlite run.nsys-rep`"),
        ("run.qdrep", b"\x01\x02\0", "nsys export --type sqlite run.qdrep"),
        ("run.ncu-rep", b"NVR\0", "a report of Nsight Compute"),
        ("run.pftrace", b"\n\x10\0", "convert it with `traceconv json run.pftrace run.json`"),
        ("run.perfetto-trace", b"\n\x10\0", "traceconv json"),
        ("run.bin", b"\n\x10\0\x01", "it may be a trace of Perfetto"),
        ("run.bin", b"\x08\0\x01", "it is not text"),
        ("vm.xplane.pb", b"\n\x10\0", "jax.profiler writes a .trace.json.gz beside it"),
        ("net.onnx", b"\x08\0\x01", "a network: `mlsysim measure` runs it"),
        ("run.json", b'{"a": 1}', "it is JSON without traceEvents"),
        ("run.json", b'{"traceEvents": [{"ph": "X", "cat": "v8", "name": "f"}]}', "those of another program"),
        ("run.txt", b"nothing in particular", "these were looked for:"),
    ],
)
def test_a_file_that_is_no_trace_is_told_what_it_is(name: str, content: bytes, hint: str, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match="trace must be a trace in a known format") as caught:
        recognised(Source(path))
    assert hint in str(caught.value)


def test_the_trace_beside_an_xspace_is_named(tmp_path: Path):
    (tmp_path / "vm.trace.json.gz").write_bytes(b"")
    path = tmp_path / "vm.xplane.pb"
    path.write_bytes(b"\n\x10\0")
    with pytest.raises(InvalidValue, match=r"give vm\.trace\.json\.gz, which lies beside it"):
        recognised(Source(path))


def test_a_log_is_sent_to_calibrate(tmp_path: Path):
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": [{"step": 1, "loss": 2.0}], "global_step": 1}))
    with pytest.raises(InvalidValue, match="`mlsysim calibrate` reads it"):
        recognised(Source(path))


def test_another_database(tmp_path: Path):
    export = Export(tmp_path / "mlflow.db")
    export.table("runs", "id INTEGER")
    export.database.commit()
    export.database.close()
    with pytest.raises(InvalidValue, match="an SQLite file without the tables of Nsight Systems"):
        recognised(Source(export.path))


def test_all_formats_are_listed_where_nothing_is_known(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("the run was slow")
    with pytest.raises(InvalidValue, match="these were looked for") as caught:
        recognised(Source(path))
    for known in FORMATS:
        assert known.name in str(caught.value)


def test_a_log_with_timers(tmp_path: Path):
    path = tmp_path / "train.log"
    path.write_text("time (ms) | forward-compute: 12.30 | backward-compute: 20.10 | optimizer: 4.00\n")
    assert recognised(Source(path)).name == "log with timers"
