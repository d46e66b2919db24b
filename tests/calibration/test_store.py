"""Saved calibrations: what comes back is what was saved, whatever else writes, breaks off or edits the file."""

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import Engine, calibrate
from mlsysim.calibration import Profile, store
from mlsysim.calibration.logs.log import LeftOut
from mlsysim.calibration.origin import Origin
from mlsysim.calibration.records import calibration_of, record_of
from mlsysim.calibration.steady import steady_state
from mlsysim.errors import Checks, InvalidValue, UnknownName, UsageError
from mlsysim.models import Models
from mlsysim.setup import Setup

DECODE = {"model": "llama-3.1-8b", "hardware": "h100", "phase": "decode", "batch_size": 32}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, and an empty folder of the user beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLSYSIM_CONFIG_DIR", str(tmp_path / "user"))
    return folder


def measured(rate=2100.0, **changes):
    return Profile((calibrate(throughput=rate, **{**DECODE, **changes}),))


_MODIFIED = [
    ("llama-3.1-8b", "forward", {}),
    ("llama-3.1-8b", "decode", {"context": 700}),
    ("llama-3.1-8b", "decode", {"draft": "llama-3.2-1b", "draft_tokens": 3, "acceptance": 0.7}),
    ("llama-3.1-8b", "training", {"lora_rank": 16}),
    ("llama-3.1-8b", "training", {"recompute": "selective"}),
    ("gpt2", "training", {"recompute": "none", "seq_len": 512}),
    ("resnet-50", "forward", {}),
    ("resnet-50", "training", {}),
    ("bert-base", "forward", {"seq_len": 128}),
    ("stable-diffusion-v1-5", "forward", {"steps": 7}),
]


@settings(deadline=None, max_examples=40)
@given(
    case=st.sampled_from(_MODIFIED),
    hardware=st.sampled_from(["h100", "l4", "mi300x"]),
    batch=st.integers(1, 256),
    devices=st.integers(1, 8),
    share=st.floats(min_value=1e-3, max_value=1.0),
    spread=st.floats(min_value=1.0, max_value=2.0),
    fixed=st.floats(min_value=0.0, max_value=0.9),
)
def test_what_comes_back_is_what_was_saved(case, hardware, batch, devices, share, spread, fixed):
    model, phase, more = case
    question = {"model": model, "hardware": hardware, "phase": phase, "batch_size": batch, "devices": devices, **more}
    floor = Engine.solve(efficiency=1.0, **question).time_s.value
    times = [floor / share * s for s in (1.0, spread, spread**2)]
    saved = calibrate(time_s=times, overhead_s=fixed * (times[0] - floor) or None, **question)
    text = json.dumps(record_of(saved))  # plain data: what any format of files can hold
    again = calibration_of(json.loads(text))
    assert again.scenario.replace(defaults={}) == saved.scenario.replace(defaults={})
    assert again.time_s == pytest.approx(saved.time_s, rel=1e-14)
    assert again.efficiency == pytest.approx(saved.efficiency, rel=1e-14)
    assert again.throughput == pytest.approx(saved.throughput, rel=1e-14)
    for field in ("ceiling", "peak_flops", "flops_per_item", "convention", "unit", "overhead_s"):
        assert getattr(again, field) == getattr(saved, field)


def test_a_file_gives_back_every_digit(project):
    c = calibrate(throughput=[1999.123456789, 2100.3, 2203.7], **DECODE)
    steady = steady_state([0.1] * 40 + [0.9] + [0.1] * 9, {40: "checkpoint"})
    left = (LeftOut(7, "time_s is nan, which no step takes"),)
    origin = Origin("CSV", 51, steady, left, "batch 32")
    c = type(c)(**{f: getattr(c, f) for f in c.__slots__} | {"origin": origin, "setup": Setup("vllm", tp=2)})
    store.save(Profile((c,)), "a", note="a 'word', \"quoted\"")
    found = store.load("a")
    again = found.profile.main
    assert (found.number, found.note) == (1, "a 'word', \"quoted\"")
    assert again.origin == origin
    assert again.setup == c.setup
    assert again.efficiency == pytest.approx(c.efficiency, rel=1e-15)
    assert Engine.solve(efficiency=again, **DECODE).throughput == pytest.approx(c.throughput, rel=1e-14)


def test_stated_flops_come_back_too(project):
    c = calibrate(throughput="100 tok/s", flops_per_token=1e12, peak_flops=989e12)
    store.save(Profile((c,)), "f")
    again = store.load("f").profile.main
    assert again.scenario is None
    assert again.efficiency == c.efficiency
    assert again.throughput == c.throughput


def test_a_revision_is_added_and_the_text_of_the_others_stays(project):
    path, first = store.save(measured(2100.0), "a")
    one = path.read_bytes()
    path.write_bytes(one + b"# a word by hand, of the run of Monday\n")
    store.save(measured(2000.0), "a")
    two = path.read_bytes()
    path, third = store.save(measured(1900.0), "a")
    assert two.startswith(one + b"# a word by hand")
    assert path.read_bytes().startswith(two.rstrip())
    assert (first.number, third.number) == (1, 3)
    rates = [r.profile.main.throughput.value for r in store.revisions("a")]
    assert rates == pytest.approx([2100, 2000, 1900], rel=1e-12)
    assert store.load("a").number == 3
    assert store.load("a@2").profile.main.throughput.value == pytest.approx(2000, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a@9", "revision must be a number from 1 to 1, got '9'"),
        ("a@0", "revision must be a number from 1 to 1, got '0'"),
        ("a@-1", "revision must be a number from 1 to 1, got '-1'"),
        ("a@", "revision must be a number from 1 to 1, got ''"),
        ("a@²", "revision must be a number from 1 to 1, got '²'"),
        ("aa", "unknown calibration 'aa': did you mean a? (there are a)"),
        ("../a", "unknown calibration '../a'"),
        ("", "unknown calibration ''"),
        (
            "run.log",
            "calibration must be the name of a saved calibration, or its .toml file, got 'run.log';"
            " a log is calibrated first: `mlsysim calibrate run.log --save NAME`",
        ),
        (
            "h100",
            "calibration must be the name of a saved calibration, or its .toml file, got 'h100';"
            " that is hardware: are the two swapped?",
        ),
    ],
)
def test_what_is_not_there_is_named(project, name, sentence):
    (project / "run.log").write_text("iter 0: loss 3.4\n")
    store.save(measured(), "a")
    with pytest.raises(UsageError) as caught:
        store.load(name)
    assert sentence in str(caught.value)


def test_nothing_saved_says_how_to_save(project):
    with pytest.raises(UnknownName, match=r"none is saved: `mlsysim calibrate \.\.\. --save`"):
        store.load("a")


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a b", "x@2", "a\n", "n" * 101, "é"])
def test_a_name_that_no_file_should_have_is_refused(project, name):
    with pytest.raises(InvalidValue, match=r"^name must be letters, digits, dots and dashes, 100 at most, got"):
        store.save(measured(), name)
    assert list(project.iterdir()) == []


def test_the_project_hides_the_user_and_the_users_is_found_from_anywhere(project, tmp_path, monkeypatch):
    path, _ = store.save(measured(1000.0), "a", user=True)
    assert path == tmp_path / "user" / "calibrations" / "a.toml"
    store.save(measured(1100.0), "only", user=True)
    assert store.load("a").profile.main.throughput.value == pytest.approx(1000, rel=1e-12)
    store.save(measured(2000.0), "a")
    assert store.load("a").profile.main.throughput.value == pytest.approx(2000, rel=1e-12)
    assert [r.name for r in store.listing(Checks())] == ["a", "only"]
    assert store.load(str(path)).profile.main.throughput.value == pytest.approx(1000, rel=1e-12)
    monkeypatch.chdir(tmp_path)
    assert store.load("a").profile.main.throughput.value == pytest.approx(1000, rel=1e-12)


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "num_key_value_heads": 4,
    "vocab_size": 8000,
}


def test_a_model_of_a_file_is_found_again_by_its_path(project, tmp_path, monkeypatch):
    folder = project / "some" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    c = calibrate(throughput=5000, **{**DECODE, "model": "some/mine/config.json"})
    with pytest.raises(InvalidValue, match=r"model must be a name or a file that is found again, got '.*'; give its"):
        store.save(Profile((c,)), "lost")
    store.save(Profile((c,)), "a", model="some/mine/config.json")
    again = store.load("a").profile.main
    assert again.scenario.model == c.scenario.model
    assert again.flops_per_item == c.flops_per_item
    store.save(Profile((c,)), "b", user=True, model="some/mine/config.json")
    monkeypatch.chdir(tmp_path)
    assert store.load("b").profile.main.flops_per_item == c.flops_per_item


def test_a_model_that_changed_since_is_told(project):
    file = project / "config.json"
    file.write_text(json.dumps(CONFIG))
    c = calibrate(throughput=5000, **{**DECODE, "model": "config.json"})
    store.save(Profile((c,)), "a", model="config.json")
    file.write_text(json.dumps({**CONFIG, "num_hidden_layers": 12}))
    again = store.load("a").profile.main
    told = next(n.message for n in again.notes if n.code == "facts-changed")
    assert told.startswith(f"FLOPs per item were {c.flops_per_item:.6g} when this was recorded and are ")
    assert again.time_s == pytest.approx(c.time_s, rel=1e-12)
    with pytest.raises(InvalidValue, match="model must be the same when it is found again by its name"):
        store.save(Profile((c,)), "a", model="config.json")


def test_steps_of_denoising_come_back(project):
    c = calibrate(time_s=1.0, model="stable-diffusion-v1-5", hardware="h100", steps=7)
    assert c.scenario.model.steps != Models["stable-diffusion-v1-5"].steps
    store.save(Profile((c,)), "a")
    assert store.load("a").profile.main.efficiency == pytest.approx(c.efficiency, rel=1e-14)


def _save_many(folder, config, who, count):
    os.chdir(folder)
    os.environ["MLSYSIM_CONFIG_DIR"] = config
    for n in range(count):
        store.save(measured(1000.0 + n), "shared", note=f"{who} {n}")


def test_two_processes_lose_nothing(project, tmp_path):
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_save_many, args=(project, str(tmp_path), who, 20)) for who in ("left", "right")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0]
    notes = [r.note for r in store.revisions("shared")]
    assert sorted(notes) == sorted(f"{who} {n}" for who in ("left", "right") for n in range(20))
    for who in ("left", "right"):
        assert [n for n in notes if n.startswith(who)] == [f"{who} {n}" for n in range(20)]


_LOOP = """
from mlsysim import calibrate
from mlsysim.calibration import Profile, store
c = Profile((calibrate(throughput=2100, model="gpt2", hardware="h100", phase="decode", batch_size=8),))
print("ready", flush=True)
while True:
    path, revision = store.save(c, "a", note="x" * 2000)
    print(revision.number, flush=True)
"""


def test_a_kill_at_any_moment_loses_nothing_that_was_announced(project):
    rng, last = random.Random(8), 0
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", _LOOP], cwd=project, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        said = [child.stdout.readline() for _ in range(rng.randint(1, 6))]
        try:
            child.wait(rng.uniform(0.0, 0.03))  # a moment within the next save, which nothing announces
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        said += child.stdout.read().splitlines()
        child.wait(10)
        child.stdout.close()
        assert child.returncode == -signal.SIGKILL
        announced = [int(n) for n in said if n.strip().isdecimal()]
        found = list(store.revisions("a"))
        assert announced[0] == last + 1
        assert announced[-1] <= len(found) <= announced[-1] + 1
        assert all(r.profile.main.throughput.value == pytest.approx(2100, rel=1e-12) for r in found[-2:])
        last = len(found)
    assert store.save(found[-1].profile, "a")[1].number == last + 1


def test_a_revision_of_another_model_or_device_is_refused(project):
    path, _ = store.save(measured(), "a")
    before = path.read_bytes()
    other = Profile((calibrate(model="gpt2", hardware="h100", phase="decode", batch_size=1, throughput=100),))
    with pytest.raises(
        InvalidValue, match=r"model must be that of a \(llama-3.1-8b\), got 'gpt2'; revisions of one name"
    ):
        store.save(other, "a")
    with pytest.raises(InvalidValue, match=r"hardware must be that of a \(h100-sxm\), got 'h200-sxm'; revisions of"):
        store.save(measured(hardware="h200"), "a")
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_file(project, monkeypatch):
    path, _ = store.save(measured(), "a")
    before = path.read_bytes()

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        store.save(measured(), "a")
    assert path.read_bytes() == before
    assert [f.name for f in path.parent.iterdir() if not f.name.endswith(".lock")] == ["a.toml"]
    monkeypatch.undo()


def test_a_file_in_the_way_of_the_folder_is_told(project):
    (project / "calibrations").write_text("")
    with pytest.raises(
        InvalidValue, match="calibrations must be a folder that can be written into, got 'calibrations'"
    ):
        store.save(measured(), "a")


def test_a_file_that_could_not_be_read_again_is_not_written(project, monkeypatch):
    path, _ = store.save(measured(), "a")
    before = path.read_bytes()
    monkeypatch.setattr(store, "LARGEST_BYTES", len(before) + 100)
    with pytest.raises(InvalidValue, match=r"name must be that of a smaller calibration, or a new one, got 'a'; "):
        store.save(measured(), "a")
    assert path.read_bytes() == before


def test_a_log_with_thousands_of_bad_lines_makes_no_giant_file(project):
    c = measured().main
    origin = Origin("CSV", 5, None, tuple(LeftOut(n, f"time_s is -{n}, which no step takes") for n in range(1, 90_001)))
    c = type(c)(**{f: getattr(c, f) for f in c.__slots__} | {"origin": origin})
    path, _ = store.save(Profile((c,)), "a")
    assert path.stat().st_size < 20_000
    kept = store.load("a").profile.main.origin.left_out
    assert kept[49] == (50, "time_s is -50, which no step takes")
    assert kept[50:] == ((51, "89,950 more lines are not used, of which nothing is kept"),)


def _edited(old, new):
    return lambda text: re.sub(old, new, text, flags=re.MULTILINE)


BROKEN = [
    (
        _edited(r"^model = .*", "model ="),
        r"calibration must be a TOML file, got 'calibrations/a.toml'; Invalid value \(at line 7",
    ),
    (
        _edited(r"^model = .*", ""),
        "a.toml, revision 1, point 1: model must be given, got None; the file was edited by hand",
    ),
    (
        _edited(r"^model = .*", 'model = "lama-3.1-8b"'),
        "a.toml, revision 1, point 1: unknown model 'lama-3.1-8b': did you mean llama-3.1-8b",
    ),
    (
        _edited(r"^hardware = .*", 'hardware = "h10"'),
        "a.toml, revision 1, point 1: unknown hardware 'h10': did you mean h100",
    ),
    (
        _edited(r"^batch_size", "batchsize"),
        "a.toml, revision 1, point 1: unknown field 'batchsize': did you mean batch_size?",
    ),
    (
        _edited(r"^devices = .*", "devices = -2"),
        "a.toml, revision 1, point 1: devices must be a whole number of at least 1, got -2",
    ),
    (
        _edited(r"^flops_per_item = .*", 'flops_per_item = "many"'),
        "a.toml, revision 1, point 1: flops_per_item must be a number, got 'many'",
    ),
    (
        _edited(r"^time_s = \[", "time_s = [ 3.0,"),
        r"point 1: time_s must be a list of three numbers: the value and the ends",
    ),
    (
        _edited(r"^time_s = \[[^\]]*\]", "time_s = [1.0, 2.0, 3.0]"),
        r"point 1: time_s must be a value between the ends of its interval",
    ),
    (_edited(r"^time_s = \[[^\]]*\]", "time_s = [nan, nan, nan]"), r"point 1: time_s must be a value between the ends"),
    (
        _edited(r"^time_s = \[[^\]]*\]", "time_s = [-1.0, -1.0, -1.0]"),
        r"point 1: time_s must be greater than 0, got -1.0",
    ),
    (
        _edited(r"^time_s = \[[^\]]*\]", "time_s = [1e-9, 1e-9, 1e-9]"),
        r"a.toml, revision 1, point 1: eta = .* is impossible",
    ),
    (_edited(r"^\[revision.point.setup\]", "setup = 3"), "point 1: setup must be a table of fields, got 3"),
    (
        lambda _: "",
        r"must be a file of \[\[revision\]\] tables with \[\[revision.point\]\] tables, got 'calibrations/a.toml'",
    ),
    (lambda _: "revision = 3", r"calibration must be a file of \[\[revision\]\] tables"),
    (lambda _: "revision = [{point = [3]}]", r"calibration must be a file of \[\[revision\]\] tables"),
    (lambda text: text[: len(text) // 2], "calibrations/a.toml|a.toml, revision 1"),
]


@pytest.mark.parametrize(("edit", "sentence"), BROKEN)
def test_a_file_edited_by_hand_is_told_by_file_and_field(project, edit, sentence):
    path, _ = store.save(measured(), "a")
    path.write_text(edit(path.read_text()))
    with pytest.raises(UsageError, match=sentence):
        _ = store.load("a").profile


def test_several_mistakes_in_a_file_are_told_at_once(project):
    path, _ = store.save(measured(), "a")
    path.write_text(path.read_text().replace('"bf16"', '"bf17"').replace("batch_size = 32", "batch_size = 0"))
    with pytest.raises(UsageError) as caught:
        _ = store.load("a").profile
    lines = str(caught.value).splitlines()
    assert [line.startswith("- calibrations/a.toml, revision 1, point 1: ") for line in lines] == [True, True]


def test_nothing_is_added_to_a_broken_file(project):
    path, _ = store.save(measured(), "a")
    path.write_text("revision = [")
    with pytest.raises(InvalidValue, match="calibration must be a TOML file"):
        store.save(measured(), "a")
    assert path.read_text() == "revision = ["
    inline = path.with_name("b.toml")
    inline.write_text("revision = [{recorded = 'once', point = [{model = 'llama-3.1-8b', hardware = 'h100'}]}]\n")
    with pytest.raises(
        InvalidValue, match=r"calibration must be a file that ends with a revision, got 'calibrations/b"
    ):
        store.save(measured(), "b")
    assert "once" in inline.read_text()


def test_one_broken_file_does_not_hide_the_others(project):
    store.save(measured(), "a")
    (project / "calibrations" / "b.toml").write_text("revision = [")
    checks = Checks()
    assert [r.name for r in store.listing(checks)] == ["a"]
    assert [str(p).split(";")[0] for p in checks.problems] == [
        "calibration must be a TOML file, got 'calibrations/b.toml'"
    ]


def test_the_file_is_plain_toml_that_others_can_read(project):
    path, _ = store.save(measured(), "a", note="first")
    data = tomllib.loads(path.read_text())
    point = data["revision"][0]["point"][0]
    assert data["revision"][0]["note"] == "first"
    assert (point["model"], point["batch_size"], point["precision"]) == ("llama-3.1-8b", 32, "bf16")
    assert len(point["time_s"]) == 3
    assert point["time_s"][0] == pytest.approx(32 / 2100)


def test_before_a_day(project):
    path, _ = store.save(measured(1000.0), "a")
    with pytest.raises(InvalidValue, match="calibration must be one with an earlier revision to be compared, got 'a'"):
        store.before("a", None)
    store.save(measured(2000.0), "a")
    store.save(measured(3000.0), "a")
    days = iter(("2026-01-05", "2026-02-05", "2026-03-05"))
    path.write_text(re.sub(r"20\d\d-\d\d-\d\d(?=T)", lambda _: next(days), path.read_text()))
    assert store.before("a", None).number == 1
    assert store.before("a", "2026-02-05").number == 1
    assert store.before("a", "2026-02-06").number == 2
    assert store.before("a", "2026-12-31").number == 2  # the newest is what is compared
    with pytest.raises(
        InvalidValue, match="since must be a day after 2026-01-05, the first revision, got '2026-01-05'"
    ):
        store.before("a", "2026-01-05")
    with pytest.raises(InvalidValue, match="since must be a day such as 2026-10-27, got 'May'"):
        store.before("a", "May")


def test_several_calibrations_stand_together(project):
    store.save(measured(2100.0), "a")
    store.save(measured(1400.0, batch_size=16), "b")
    assert [c.scenario.batch_size for c in store.combined(["a, b"])] == [32, 16]
    assert [c.scenario.batch_size for c in store.combined(["b", "a@1"])] == [16, 32]
    with pytest.raises(InvalidValue, match=r"calibrations must be at least one calibration, got \(\)"):
        store.combined([","])
