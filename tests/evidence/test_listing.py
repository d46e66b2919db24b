"""The packaged measurements: their schema, and the conditions that choose among them."""

from pathlib import Path

import pytest

from mlsysim.errors import UsageError
from mlsysim.evidence.base import packaged
from mlsysim.evidence.listing import listed
from mlsysim.evidence.lock import SHARES, locked, locked_name
from mlsysim.registry import read_table


def test_every_packaged_measurement_has_a_place_and_a_time():
    rows = packaged()
    assert len(rows) >= 2500
    assert len({m.id for m in rows}) == len(rows)
    for m in rows:
        assert m.url.startswith("https://")
        assert m.locator
        assert m.seconds > 0
        assert m.regime


def test_no_packaged_row_is_refused():
    count = sum(len(read_table("mlsysim.evidence", f"{kind}.tsv")) for kind in ("training", "inference"))
    assert len(packaged()) == count


def test_conditions_choose():
    rows = listed("hardware=b200 and regime=serving and devices<=2")
    assert rows
    assert {r.hardware for r in rows} == {"b200"}
    assert all(r.devices <= 2 for r in rows)
    assert len(listed("hardware = B200")) > len(rows)
    assert {r.engine for r in listed("engine~llama.cpp and regime=decode")} == {"llama.cpp"}
    others = listed("regime=decode and hardware!=rtx-4090")
    assert "rtx-4090" not in {r.hardware for r in others}


def test_an_eta_is_given_where_one_step_was_timed():
    rows = listed("regime=decode")
    assert all(0 < r.efficiency <= 1 for r in rows)
    assert all(r.efficiency is None for r in listed("regime=serving_throughput and hardware=mi300x"))


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("hardware", "conditions such as hardware=b200 and regime=decode"),
        ("hardwear=b200", "hardware"),
        ("devices>many", "a number after >"),
    ],
)
def test_a_condition_that_cannot_be_read_says_so(where, sentence):
    with pytest.raises(UsageError, match=sentence):
        listed(where)


def test_further_tables_are_listed_beside_the_packaged_ones(tmp_path: Path):
    path = tmp_path / "mine.csv"
    header = "id,model,hardware,regime,quant,compute_precision,engine,metric,value,batch,input_len,output_len"
    path.write_text(
        f"{header}\nmine-1,llama-3-8b,rtx-4090,decode_b1,fp16,fp16,vllm,output_tokens_per_s_total,55,1,8,256\n"
    )
    assert [r.id for r in listed("source=mine", [path])] == ["mine-1"]


def test_the_lock_depends_on_names_alone():
    names = [f"name-{i}" for i in range(4000)]
    for kind, share in SHARES.items():
        found = sum(locked_name(kind, n) for n in names) / len(names)
        assert found == pytest.approx(share, abs=0.012)  # three standard errors of 4,000 draws
    assert locked_name("model", "LLAMA-2-7B") == locked_name("model", "llama-2-7b")
    assert not locked("xdai", "llama-3-8b", "rtx-3090")
