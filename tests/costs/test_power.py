"""Power against published measurements: what was read, what is predicted, and how often the interval holds it."""

import subprocess
import sys
from pathlib import Path
from timeit import repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsysim.costs.measured_power import measured_power
from mlsysim.costs.power import host_power_w, idle_power_w, parameters, power_w
from mlsysim.hardware import Hardware, Nodes
from mlsysim.registry import read_table

ROOT = Path(__file__).parents[2]
SHARE = st.floats(min_value=0.0, max_value=1.0)
RATED = [n for n in Hardware if Hardware[n].tdp_w]
ALONE = [m for m in measured_power() if m.scope == "devices" and m.device.tdp_w]


def by_id(name):
    return next(m for m in measured_power() if m.id == name)


@pytest.fixture
def tool(monkeypatch):
    """Return the module that fits the parameters."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import power_fit

    return power_fit


# What was read


def test_there_are_measurements_of_many_devices_and_sources():
    assert len(measured_power()) >= 200
    assert len({m.device.name for m in ALONE}) >= 10
    assert len({m.source for m in measured_power()}) >= 10


def test_every_row_says_where_it_was_read():
    for row in read_table("mlsysim.costs", "power_measured.tsv"):
        assert "https://" in row["source"]
        assert row["locator"]
        assert row["retrieved"]
        assert row["provenance"] in {"read", "recalled"}
        assert row["note"]


def test_utilisations_and_powers_are_possible():
    for m in measured_power():
        assert 0.0 < m.compute_utilisation < 1.0, m.id
        assert 0.0 <= m.memory_utilisation <= 1.0, m.id
    for m in ALONE:
        assert m.power_w < 1.001 * m.device.tdp_w.value, m.id


def test_utilisation_of_a_decoding_run_by_hand():
    # Qwen3-14B on an H100, mean batch 8 at 627.4 token/s (ML.ENERGY): 78.43 steps a second. A step reads the weights
    # but for the embedding table, 13.99e9 x 2 B, and 408 tokens of 8 sequences' cache, 163,840 B a token: 28.5 GB.
    # Of 3.35 TB/s that is 0.667. Two FLOPs a weight and sequence: 224 GFLOP, times 78.43 over 989e12 is 0.0178.
    m = by_id("mle3-001")
    assert m.memory_utilisation == pytest.approx(
        0.667, rel=0.01
    )  # the embedding rows and activations are left out above
    assert m.compute_utilisation == pytest.approx(0.0178, rel=0.02)  # attention is left out above


def test_power_from_energy_by_hand():
    # 4,874.824 J in 12.8607 s are 379.05 W; 1 / 27.24 J a token at 14,455 token/s are 530.7 W.
    assert by_id("wilkins-008").power_w == pytest.approx(4874.824 / 12.8607)
    assert by_id("ipdps-022").power_w == pytest.approx(14455 / 27.24)
    # 20,236.298 uJ a sample at 2.566 samples a second, as the log prints: 51.9 mW.
    assert by_id("tiny-001").power_w == pytest.approx(0.05193, rel=1e-3)


def test_power_of_several_devices_is_of_one():
    assert by_id("mle3-037").power_w == pytest.approx(1787.4 / 4)


# What is predicted


def test_power_by_hand():
    # H100: idle 70 W, rated 700 W, 989 TFLOP/s. With the packaged weights a and b, at 20 % and 30 %:
    p = parameters()
    active = p.compute * (989 / 700) ** 0.5 * 0.2 + p.memory * 0.3
    assert power_w(Hardware.H100, 0.2, 0.3).value == pytest.approx(700 - 630 * 2.718281828459045**-active)


def test_a_device_at_rest_draws_its_idle_power():
    assert power_w(Hardware.H100, 0.0, 0.0).value == pytest.approx(Hardware.H100.idle_w.value)


def test_idle_power_unknown_is_a_share_of_the_rating_by_memory():
    p = parameters()
    assert Hardware["h200-sxm"].idle_w is None
    assert idle_power_w(Hardware["h200-sxm"]) == pytest.approx(700 * p.idle_hbm)
    assert idle_power_w(Hardware["l40s"]) == pytest.approx(350 * p.idle_other)
    assert 0.05 < p.idle_other < p.idle_hbm < 0.2


def test_no_rating_no_answer():
    assert Hardware["tpu-v5e"].tdp_w is None
    assert power_w(Hardware["tpu-v5e"], 0.5, 0.5) is None
    assert idle_power_w(Hardware["tpu-v5e"]) is None


def test_a_microcontroller_draws_what_was_measured():
    few, much = power_w(Hardware["stm32l4r5"], 0.01, 0.0), power_w(Hardware["stm32l4r5"], 1.0, 0.0)
    assert few == much
    assert few.value == pytest.approx(0.052, rel=0.02)  # the four networks differ by 2 %


def test_where_nothing_of_the_kind_was_measured_the_interval_is_all_that_is_possible():
    device = Hardware["epyc-9654"]
    drawn = power_w(device, 0.3, 0.3)
    assert drawn.low == pytest.approx(idle_power_w(device))
    assert drawn.high == device.tdp_w.value


def test_a_limit_is_another_rating():
    limited = Hardware.H100.replace(tdp_w="500 W")
    assert power_w(limited, 1.0, 1.0).high == 500.0
    assert power_w(limited, 0.3, 0.3).value < power_w(Hardware.H100, 0.3, 0.3).value


@given(name=st.sampled_from(RATED), compute=SHARE, memory=SHARE)
def test_intervals_hold_their_value_and_never_exceed_the_rating(name, compute, memory):
    drawn = power_w(Hardware[name], compute, memory)
    assert 0.0 < drawn.low <= drawn.value <= drawn.high <= Hardware[name].tdp_w.value * (1 + 1e-12)


def test_arrays_take_the_same_path():
    compute, memory = np.array([0.0, 0.1, 0.6]), np.array([0.0, 0.6, 0.2])
    for name in ("h100-sxm", "epyc-9654"):
        many = power_w(Hardware[name], compute, memory)
        for i, (c, m) in enumerate(zip(compute.tolist(), memory.tolist(), strict=True)):
            assert [float(end[i]) if np.ndim(end) else end for end in many] == pytest.approx(
                power_w(Hardware[name], c, m)
            )


def test_a_single_answer_is_cheap_and_does_not_load_numpy():
    device = Hardware.H100
    power_w(device, 0.1, 0.2)
    best = min(repeat(lambda: power_w(device, 0.1, 0.2), number=2_000, repeat=7)) / 2_000
    assert best < 10e-6  # 1.4 microseconds on an idle machine; others may be at work beside the test
    code = (
        "import sys; from mlsysim.costs.power import power_w; from mlsysim.hardware import Hardware;"
        "power_w(Hardware.H100, 0.1, 0.2); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# How good it is


def test_predictions_lie_near_the_measurements():
    off = [abs(power_w(m.device, m.compute_utilisation, m.memory_utilisation).value / m.power_w - 1) for m in ALONE]
    assert np.median(off) < 0.11  # 9 % where it was fitted; the sensors themselves are off by about 5 %


@pytest.mark.parametrize("groups", ["device", "group"])
def test_the_interval_holds_nine_of_ten_that_the_fit_did_not_see(tool, groups):
    d, (form, start) = tool.table(), tool.FORMS[tool.CHOSEN]
    names = getattr(d, groups)
    e = tool.held_out(form, start, d, names)
    assert np.median(abs(e)) < 0.12  # 9 and 10 %; the sensors themselves are off by about 5 %
    # Made of the other groups alone, and as packaged.
    assert 0.85 <= tool.inside(e, d, names).mean() <= 0.95
    p = parameters()
    assert 0.85 <= ((e >= np.log(p.low)) & (e <= np.log(p.high))).mean() <= 0.95


def test_the_form_predicts_unseen_devices_better_than_a_constant_share_or_a_line(tool):
    d = tool.table()
    median = {
        name: np.median(abs(tool.held_out(*tool.FORMS[name], d, d.device)))
        for name in (tool.CHOSEN, "a constant share of the rating", "linear, capped")
    }
    assert min(median, key=median.get) == tool.CHOSEN


def test_the_parameters_are_what_the_measurements_give(tool):
    d, p = tool.table(), parameters()
    form, start = tool.FORMS[tool.CHOSEN]
    assert tool.fit(form, start, d) == pytest.approx([p.compute, p.memory], rel=1e-3)  # four digits are packaged
    assert {k: s for k, (s, _) in tool.idle_shares().items()} == pytest.approx(
        {"hbm": p.idle_hbm, "other": p.idle_other}, rel=1e-3
    )


def test_the_fit_finds_what_made_the_data(tool):
    d = tool.table()
    form, _ = tool.FORMS[tool.CHOSEN]
    made = d._replace(share=form(np.array([4.0, 1.5]), d))
    assert tool.fit(form, (6.0, 3.0), made) == pytest.approx([4.0, 1.5], rel=1e-4)


# Nodes


def test_beside_the_devices_of_a_node_by_hand():
    # 10.2 kW rated, eight of 700 W: 4.6 kW for the rest. Measured 8.4 kW, 76 % of the rating, and 12,127,904 J in
    # 29.10069 minutes: 2.8, 2.152 and 1.346 kW beside the devices.
    drawn = host_power_w(Nodes["dgx-h100"])
    assert drawn == pytest.approx((7752 - 5600, 12_127_904 / 1746.0414 - 5600, 8400 - 5600), rel=1e-3)


def test_a_node_without_a_rating_has_no_answer():
    assert host_power_w(Nodes["hgx-h100"]) is None
