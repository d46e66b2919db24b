"""Columns: the same numbers and units in every library; coordinates, reasons, names that are wrong."""

import numpy as np
import pytest

from mlsysim import Engine
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.sweep.quantities import QUANTITIES
from mlsysim.sweep.reduce import Top

FIELDS = {
    "models": ["llama-3.1-8b", "llama-3.1-70b"],
    "hardware": ["a100", "l4"],
    "phase": "decode",
    "batch_size": [1, 8],
    "context": [128, 2048, 8192],
}


@pytest.fixture(scope="module")
def columns():
    return Engine.sweep(**FIELDS)


def same(one, other):
    """Return whether two columns hold the same: words, or numbers of which NaN is one."""
    if one.dtype.kind in "OUS":
        return list(map(str, one)) == list(map(str, other))
    return np.array_equal(np.asarray(other, dtype=one.dtype), one, equal_nan=one.dtype.kind == "f")


def test_a_row_is_a_point_and_coordinates_come_first(columns):
    assert columns.points == len(columns["time_s"]) == 2 * 2 * 2 * 3
    assert columns.coordinates == ("model", "hardware", "phase", "batch_size", "context")
    assert list(columns) == [*columns.coordinates, "feasible", "reason", *QUANTITIES]
    assert len(columns) == len(list(columns))
    assert list(columns["context"][:4]) == [128, 2048, 8192, 128]
    assert columns["context"].dtype == columns["batch_size"].dtype == np.int64
    assert list(columns["batch_size"][:6]) == [1, 1, 1, 8, 8, 8]
    assert list(columns["hardware"][::6]) == ["a100-sxm-80gb", "l4"] * 2


def test_infeasible_points_are_kept_and_say_why(columns):
    # 70.6e9 parameters of 2 bytes are 141 GB: neither 80 GB nor 24 GB hold them.
    big = columns["model"] == "llama-3.1-70b"
    assert not columns["feasible"][big].any()
    assert set(columns["reason"][big]) == {"does not fit in memory"}
    assert set(columns["reason"][columns["feasible"]]) == {""}
    for name, quantity in QUANTITIES.items():
        if quantity.masked and not quantity.words:
            assert np.isnan(columns[name][big]).all(), name
    assert set(columns["bound"][big]) == {""}
    assert (columns["weights_bytes"][big] > 141e9).all()
    assert columns.masked("time_s").count() == columns["feasible"].sum()
    assert f"{columns.points - columns['feasible'].sum()} of them infeasible" in repr(columns)


def test_what_a_device_cannot_do_is_infeasible_with_the_reason():
    found = Engine.sweep("gpt2", ["a100", "h100"], precision=["fp16", "fp8"], devices=[1, 2])
    cannot = (found["hardware"] == "a100-sxm-80gb") & (found["precision"] == "fp8")
    assert list(found["feasible"]) == list(~cannot)
    assert all("fp8" in reason for reason in found["reason"][cannot])
    assert list(found["devices"]) == [1, 2] * 4
    assert np.isnan(found["time_s"][cannot]).all()


def test_lengths_that_a_phase_does_not_use_are_zero():
    found = Engine.sweep("gpt2", "a100", phase=["forward", "decode"], seq_len=[8, 16], context=[32])
    assert list(found["seq_len"]) == [8, 16, 0]
    assert list(found["context"]) == [0, 0, 32]


def test_pandas_holds_the_same(columns):
    pytest.importorskip("pandas")
    frame = columns.to_pandas()
    assert list(frame) == list(columns)
    assert all(same(columns[name], frame[name].to_numpy()) for name in columns)


def test_polars_holds_the_same(columns):
    pytest.importorskip("polars")
    frame = columns.to_polars()
    assert frame.columns == list(columns)
    assert all(same(columns[name], np.array(frame[name].to_list())) for name in columns)


def test_arrow_holds_the_same_with_units(columns):
    pytest.importorskip("pyarrow")
    table = columns.to_arrow()
    assert table.column_names == list(columns)
    assert all(same(columns[name], np.array(table[name].to_pylist())) for name in columns)
    units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in table.schema}
    assert units == {name: columns.unit(name) for name in columns}
    assert (units["time_s"], units["energy_j"], units["context"], units["bound"]) == ("s", "J", "tokens", "")


def test_xarray_holds_the_same_with_units_and_dimensions(columns):
    pytest.importorskip("xarray")
    data = columns.to_xarray()
    assert dict(data.sizes) == {"model": 2, "hardware": 2, "batch_size": 2, "context": 3}
    assert all(same(columns[name], data[name].to_numpy().reshape(-1)) for name in data)
    one = data["time_s"].sel(model="llama-3.1-8b", hardware="l4", batch_size=8, context=2048)
    at = (columns["model"] == "llama-3.1-8b") & (columns["hardware"] == "l4")
    at &= (columns["batch_size"] == 8) & (columns["context"] == 2048)
    assert float(one) == columns["time_s"][at][0]
    assert data["time_s"].attrs == {"unit": "s"}


def test_xarray_keeps_the_longest_axis_where_it_is_in_the_points():
    pytest.importorskip("xarray")
    found = Engine.sweep("gpt2", ["a100", "h100"], efficiency="0.1..0.3/3", usd_per_hour=[1, 2, 3, 4], devices=[1, 2])
    data = found.to_xarray()
    assert same(found["cost_usd"], data["cost_usd"].to_numpy().reshape(-1))
    # Eta halves the time, and with it the rent.
    costs = data["cost_usd"].sel(hardware="h100-sxm", devices=2, usd_per_hour=3)
    assert float(costs.sel(efficiency_asked=0.1) / costs.sel(efficiency_asked=0.2)) == pytest.approx(2, rel=1e-12)


def test_xarray_where_eta_is_stated_of_some_points_and_predicted_of_others():
    pytest.importorskip("xarray")
    data = Engine.sweep("gpt2", "a100", efficiency=[None, 0.3], batch_size=[1, 2]).to_xarray()
    assert list(data["efficiency_asked"].to_numpy()) == ["predicted", "0.3"]
    assert data["efficiency"].sel(efficiency_asked="0.3").to_numpy() == pytest.approx([0.3, 0.3], rel=1e-12)


def test_xarray_refuses_what_was_left_of_a_grid():
    pytest.importorskip("xarray")
    best = Engine.sweep(**FIELDS, reduce=Top(5, "time_s")).kept[0]
    with pytest.raises(InvalidValue, match="points must be a regular grid for to_xarray"):
        best.to_xarray()
    assert best.to_pandas().shape[0] == 5


def test_xarray_refuses_points_with_different_fields():
    pytest.importorskip("xarray")
    found = Engine.sweep("gpt2", "a100", phase=["forward", "decode"], seq_len=[8, 16], context=[32])
    with pytest.raises(InvalidValue, match="ask of each phase apart, or take to_pandas"):
        found.to_xarray()


def test_one_file_of_parquet_holds_the_same(columns, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    columns.to_parquet(tmp_path / "points.parquet")
    assert parquet.read_table(tmp_path / "points.parquet").equals(columns.to_arrow()) or all(
        same(columns[n], np.array(parquet.read_table(tmp_path / "points.parquet")[n].to_pylist())) for n in columns
    )
    assert [one.name for one in tmp_path.iterdir()] == ["points.parquet"]


def test_a_wrong_name_gets_the_nearest(columns):
    with pytest.raises(UnknownName, match="unknown column 'tim_s': did you mean time_s"):
        columns["tim_s"]
    assert "time_s" in columns
    with pytest.raises(UnknownName, match="unknown quantity 'tim_s': did you mean time_s"):
        Engine.sweep("gpt2", "a100", keep=["tim_s"])


def test_only_what_is_kept_is_there():
    found = Engine.sweep("gpt2", "a100", keep=["tpot_s", "time_s", "tpot_s"])
    assert list(found) == ["model", "hardware", "phase", "feasible", "reason", "tpot_s", "time_s"]


def test_one_point_is_a_column_of_one():
    found = Engine.sweep("gpt2", "a100")
    assert found.points == 1
    assert found["time_s"].shape == (1,)
    if pytest.importorskip("xarray"):
        assert found.to_xarray()["time_s"].shape == ()


def test_no_points_are_columns_of_none():
    pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    none = Engine.sweep("llama-3.1-70b", "l4", reduce=Top(1, "time_s")).kept[0]
    assert none.points == 0
    assert all(len(none[name]) == 0 for name in none)
    assert none.to_pandas().shape == none.to_arrow().shape == (0, len(none))
