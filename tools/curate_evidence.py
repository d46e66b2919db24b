"""Write the packaged evidence and parameters from tables of published measurements.

    python tools/curate_evidence.py FOLDER

FOLDER holds training.csv, inference.csv, transfer_pairs.csv and serving_e2e.csv. Every row is put through the same
models, work and ceiling as any answer; a row that cannot be is refused with a reason, and the reasons are counted.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.efficiency.evidence import Evidence, weighted_quantile
from mlsysim.efficiency.regimes import TITLES, regime_of
from mlsysim.errors import UsageError
from mlsysim.hardware import Hardware
from mlsysim.models import Models, ModelSpec, TransformerSpec
from mlsysim.physics.performance import fit_overhead
from mlsysim.precision import parse_precision
from mlsysim.scenario import Roofline, Scenario

Row = dict[str, str]
OUT = Path(__file__).parent.parent / "src/mlsysim/efficiency/data"
ENOUGH = 20
"""Pairs from which a regime has a spread of its own."""
URL_SERVING = "https://github.com/ai-dynamo/aiconfigurator"


class Refused(Exception):
    """A row that cannot be used, and why."""


class Fact(NamedTuple):
    """A measurement as a scenario and the eta it reached; ``key`` is what makes two rows the same configuration."""

    row: Row
    scenario: Scenario
    roof: Roofline
    efficiency: float
    convention: str
    engine: str

    @property
    def key(self) -> tuple[object, ...]:
        """Return the configuration without its result: re-measurements of it are siblings."""
        s = self.scenario
        return (
            self.engine.lower(),
            s.model.name,
            s.hardware.name,
            s.devices,
            s.phase,
            s.precision,
            s.batch_size,
            s.seq_len,
            s.context,
        )


def main(folder: Path) -> None:
    """Read, refuse, compute, de-duplicate, write."""
    facts, refused = [], Counter[str]()
    for name, read in (("training.csv", training_fact), ("inference.csv", inference_fact)):
        for row in rows(folder / name):
            try:
                facts.append(read(row))
            except Refused as problem:
                refused[f"{name}: {problem}"] += 1
            except UsageError as problem:
                refused[f"{name}: {re.sub(r'[(:].*', '', str(problem))}"] += 1
    kept = latest(facts, refused)
    write("evidence.csv", ["convention", *Evidence._fields], (table_row(f) for f in kept))
    write(
        "parameters.csv",
        ["name", "value", "low", "high", "unit", "n", "source", "derivation"],
        parameters(folder, kept),
    )
    for reason, count in refused.most_common():
        print(f"{count:6d} refused  {reason}")
    for regime, count in sorted(Counter(regime_of(f.scenario, f.roof) for f in kept).items()):
        print(f"{count:6d} kept     {regime}")


def training_fact(row: Row) -> Fact:
    """Return a training row; FLOPs are model FLOPs with causal attention unless the source gives a rate in FLOP/s."""
    if row["task"] not in {"pretrain", "sft"}:
        raise Refused("adapter training is not 6N")
    if re.match(r"bert|mlperf-bert|m?t5", row["family"]):
        raise Refused("encoder: attention is not causal")
    if row["active_params_b"] != row["params_b"]:
        raise Refused("mixture of experts")
    devices, precision = int(row["num_devices"] or 1), quantity(row["precision"])
    model: ModelSpec
    batch = int(float(row["global_batch"] or 0)) or devices * int(float(row["micro_batch"] or 1))
    if row["layers"]:
        model, tokens = spec_of(row), int(row["seq_len"] or 0)
        if not tokens:
            raise Refused("no sequence length")
    else:
        model, tokens = network(row["model"]), 0
    s = scenario(model, row["hardware"], "training", precision, devices, max(batch, 1), seq_len=tokens or None)
    roof = s.roofline(s.work())
    value, per_item = float(row["value"]), roof.flops / s.work().items
    metric = row["metric"]
    if metric in {"tokens_per_s_per_device", "samples_per_s_per_device"}:
        items = value * devices * (tokens if metric.startswith("samples") and tokens else 1)
        return checked(row, s, roof, items * per_item / roof.peak_flops, "model FLOPs, causal", row["framework"])
    if metric == "step_time_s":
        if not row["global_batch"]:
            raise Refused("step time without batch")
        return checked(row, s, roof, roof.compute_s / value, "model FLOPs, causal", row["framework"])
    factor = 0.75 if row["flops_convention"] == "hfu" and row["recompute"] == "full" else 1.0
    rate = value * 1e12 * devices / roof.peak_flops if metric == "tflops_per_device" else value
    return checked(row, s, roof, rate * factor, f"as published: {row['flops_convention']}", row["framework"])


def inference_fact(row: Row) -> Fact:
    """Return a decode, prefill, network or microcontroller row."""
    if re.search(r"SUSPECT|UNIT_AMBIGUOUS|anomalous|out of family|typo", row["notes"]):
        raise Refused("marked as suspect at the source")
    precision = quantity(row["quant"])
    devices, regime = int(row["num_devices"] or 1), row["regime"]
    if regime == "tinyml":
        return network_fact(row, precision, 1)
    if regime in {"vision_infer", "other_infer"}:
        if not row["batch"]:
            raise Refused("batch not published")
        return network_fact(row, precision, int(float(row["batch"])))
    if devices > 1 and row["pp"] not in {"", "1"}:
        raise Refused("layer split: the devices run one after another")
    if row["model"] not in Models:
        raise Refused(f"model not in the registry: {row['model']}")
    read, written = int(row["input_len"] or 0), int(row["output_len"] or 0)
    value, metric = float(row["value"]), row["metric"]
    batch = int(float(row["batch"] or 0))
    if regime == "prefill":
        s = scenario(row["model"], row["hardware"], "forward", precision, devices, max(batch, 1), seq_len=read)
        step = value / 1e3 if metric == "ttft_ms" else read / value
    elif regime == "decode_b1" or (regime == "serving_throughput" and batch and written >= 4 * read):
        s = scenario(
            row["model"],
            row["hardware"],
            "decode",
            precision,
            devices,
            max(batch, 1),
            context=max(1, read + written // 2),
        )
        rate = 1e3 / value if metric == "itl_ms" else value * (devices if metric.endswith("per_device") else 1)
        step = s.batch_size / rate
    else:
        raise Refused("serving: prefill and decode mixed, or batch not published")
    roof = s.roofline(s.work())
    return checked(row, s, roof, roof.compute_s / step, "model FLOPs, causal", row["engine"])


def network_fact(row: Row, precision: str, batch: int) -> Fact:
    """Return a row of a feed-forward network: samples per second, or milliseconds a sample or batch."""
    name = re.sub(r"^(mlperf-tiny|tflm)-", "", row["model"])
    tiny = {
        "ic-resnet8": "resnet-8",
        "kws-dscnn": "ds-cnn",
        "vww-mobilenetv1-0.25": "mobilenet-v1-0.25-96",
        "ad-autoencoder": "fc-autoencoder",
        "person-detection-mobilenetv1-0.25-96": "mobilenet-v1-0.25-96",
    }
    devices = int(row["num_devices"] or 1)
    s = scenario(network(tiny.get(name, name)), row["hardware"], "forward", precision, devices, batch)
    roof = s.roofline(s.work())
    value = float(row["value"])
    step = batch / value if row["metric"] == "samples_per_s" else value / 1e3
    return checked(row, s, roof, roof.compute_s / step, "2 x MACs", row["engine"])


def checked(row: Row, s: Scenario, roof: Roofline, efficiency: float, convention: str, engine: str) -> Fact:
    """Return the fact, or refuse an eta that physics excludes: its denominator is not the one that was used."""
    if efficiency > roof.ceiling:
        raise Refused(
            f"eta above the ceiling in {regime_of(s, roof)} (a higher peak was used, or FLOPs are counted otherwise)"
        )
    if not s.memory().fits and s.phase != "training":
        raise Refused("does not fit in memory as published")
    return Fact(row, s, roof, efficiency, convention, engine)


def scenario(
    model: object, hardware: str, phase: str, precision: str, devices: int, batch: int, **lengths: int | None
) -> Scenario:
    """Return the scenario of a row; boards are looked up by their chip, power-limited parts by their model."""
    name = hardware.replace("_", "-").lower()
    name = re.sub(r"-(330w|76c|60c|32c|40c|24c)$", "", name).replace("v100-sxm2", "v100-sxm")
    for start, chip in (
        ("nucleo-l4r5", "stm32l4r5"),
        ("nucleo-h7a3", "stm32h7a3"),
        ("nucleo-u575", "stm32u575"),
        ("b-u585", "stm32u575"),
        ("disco-f746", "stm32f746"),
        ("nrf5340", "nrf5340"),
    ):
        if name.startswith(start):
            name = chip
    if name not in Hardware:
        raise Refused("hardware not in the registry")
    used: dict[str, Any] = {k: v for k, v in lengths.items() if v is not None}
    if precision not in Hardware[name].peaks and precision == "bf16" and "fp16" in Hardware[name].peaks:
        raise Refused("no bf16 peak")
    return Scenario.of(model, name, phase=phase, precision=precision, devices=devices, batch_size=batch, **used)


def spec_of(row: Row) -> TransformerSpec:
    """Return the architecture a training row states, head size hidden / heads unless the registry knows better."""
    for name in (row["family"], row["model"]):
        if name in Models and isinstance(known := Models[name], TransformerSpec) and known.layers == int(row["layers"]):
            return known
    if not all(row[k] for k in ("hidden", "heads", "kv_heads", "ffn", "vocab")):
        raise Refused("architecture incomplete")
    sizes = {k: int(float(row[k])) for k in ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab")}
    gated = not re.match(r"gpt|mpt|mlm|opt|bloom|megatron", row["family"])
    return TransformerSpec(
        name=row["model"],
        head_dim=sizes["hidden"] // sizes["heads"],
        gated=gated,
        layers=sizes["layers"],
        hidden=sizes["hidden"],
        heads=sizes["heads"],
        kv_heads=sizes["kv_heads"],
        ffn=sizes["ffn"],
        vocab=sizes["vocab"],
    )


def network(name: str) -> ModelSpec:
    """Return a feed-forward network of the registry."""
    found = re.sub(r" v1\.5$", "", name).lower().replace(" ", "-")
    if found not in Models or isinstance(Models[found], TransformerSpec):
        raise Refused(f"network not in the registry: {name}" if len(name) < 20 else "network not in the registry")
    return Models[found]


def quantity(name: str) -> str:
    """Return the precision of a row, refusing formats with several roles."""
    plain = {"fp16-amp": "fp16", "mixed": "bf16"}.get(name, name)
    try:
        return parse_precision(plain)
    except UsageError:
        raise Refused("a precision per role (weight-only quantization or mixed)") from None


def latest(facts: Iterable[Fact], refused: Counter[str]) -> list[Fact]:
    """Keep the newest measurement of each configuration and source."""
    best: dict[tuple[object, ...], Fact] = {}
    for fact in facts:
        key = (group(fact.row), *fact.key)
        if key in best:
            refused["an older sibling of a row that was kept"] += 1
        if key not in best or fact.row["published"] > best[key].row["published"]:
            best[key] = fact
    return sorted(best.values(), key=lambda f: f.row["id"])


def group(row: Row) -> str:
    """Return the source of a row: its publication; one submitter of a benchmark round is one source."""
    prefix = re.split(r"-", row["id"])[0]
    submitter = re.search(r"submitter=([^;= ]+)", row["notes"])
    prefix = re.sub(r"^(trtllm|mlperf|mlptiny|nemo|trth200blog|trtfalconblog).*", r"\1", prefix)
    return f"{prefix}-{submitter[1].strip().lower()}" if submitter else prefix


def table_row(f: Fact) -> list[object]:
    """Return a row of evidence.csv."""
    r, s = f.row, f.scenario
    item = Evidence(
        r["id"],
        group(r),
        regime_of(s, f.roof),
        s.model.name,
        s.hardware.name,
        s.devices,
        s.precision,
        s.batch_size,
        s.seq_len,
        s.context,
        f.engine,
        r["published"],
        f.efficiency,
        f.roof.ceiling,
        f.efficiency / f.roof.ceiling,
        r["source_url"],
        r["source_locator"],
    )
    return [f.convention, *(f"{v:.5g}" if isinstance(v, float) else v for v in item)]


def parameters(folder: Path, kept: list[Fact]) -> Iterator[list[object]]:
    """Yield the spreads of each move and the launch time, each with n, source and derivation."""
    yield spread(
        "repeat",
        repeats(folder / "serving_e2e.csv"),
        URL_SERVING,
        "|ln| of TPOT of one configuration and version measured again, / sqrt(2)",
        math.sqrt(0.5),
    )
    by_id = {f.row["id"]: f for f in kept}
    pairs = [
        (by_id[p["row_a"]], by_id[p["row_b"]])
        for p in rows(folder / "transfer_pairs.csv")
        if p["kind"] == "strict" and p["row_a"] in by_id and p["row_b"] in by_id
    ]
    source = "evidence.csv, strict pairs: two devices, all else equal"

    def same(a: Fact, b: Fact) -> bool:
        return a.scenario.hardware.memory_class == b.scenario.hardware.memory_class

    hardware = {
        "same-memory-class": [p for p in pairs if same(*p)],
        "other-memory-class": [p for p in pairs if not same(*p)],
    }
    for name, found in hardware.items():
        yield from by_regime(name, found, source)
    for name, field in (("batch", 6), ("precision", 5), ("model", 1), ("devices", 3)):
        yield from by_regime(name, list(siblings(kept, field)), "evidence.csv, pairs that differ in this alone")
    how = "of batch 4 to 8 times that of two smaller ones, predicted by their common overhead and attainment"
    yield spread(
        "move.batch-overhead-known",
        list(batch_predictions(kept)),
        "evidence.csv, series over batch",
        f"|ln| error {how}",
    )
    yield launch(kept)


def launch(kept: list[Fact]) -> list[object]:
    """Return the time of a launch: the median of compiled engines, from their p10 to the median of eager frameworks."""
    found = {
        kind: sorted(
            (f.roof.compute_s / f.efficiency / f.scenario.model.operators, 1.0)
            for f in kept
            if re.match(pattern, f.engine) and regime_of(f.scenario, f.roof) == "network-1"
        )
        for kind, pattern in (("compiled", "tensorrt"), ("eager", "pytorch|tensorflow$"))
    }
    low, middle = (weighted_quantile(found["compiled"], q) for q in (0.1, 0.5))
    high = weighted_quantile(found["eager"], 0.5)
    how = "step time / operators at batch 1: p10 and median of compiled engines, median of eager frameworks"
    n = sum(map(len, found.values()))
    return ["launch", f"{middle:.3g}", f"{low:.3g}", f"{high:.3g}", "s", n, "evidence.csv, regime network-1", how]


def batch_predictions(facts: list[Fact]) -> Iterator[float]:
    """Yield |ln predicted / measured| of steps predicted from two smaller batches of the same series."""
    series: dict[tuple[object, ...], list[Fact]] = defaultdict(list)
    for f in facts:
        if f.scenario.phase == "forward" and f.scenario.seq_len is None:
            series[(group(f.row), *f.key[:6])].append(f)
    for found in series.values():
        found.sort(key=lambda f: f.scenario.batch_size)
        for a, b in pairwise(found):
            if a.roof.floor_s == b.roof.floor_s:
                continue
            times = [f.roof.compute_s / f.efficiency for f in (a, b)]
            reached, overhead = fit_overhead(a.roof.floor_s, times[0], b.roof.floor_s, times[1])
            for f in found:
                if 4 * a.scenario.batch_size <= f.scenario.batch_size <= 8 * a.scenario.batch_size:
                    predicted = f.roof.floor_s / reached + overhead
                    yield abs(math.log(predicted / (f.roof.compute_s / f.efficiency)))


def by_regime(name: str, pairs: list[tuple[Fact, Fact]], source: str) -> Iterator[list[object]]:
    """Yield the spread of a move over all pairs, and over each regime that has enough of them."""
    how = "|ln| of attainment b / a"
    yield spread(f"move.{name}", [moved(a, b) for a, b in pairs], source, how)
    for regime in TITLES:
        found = [moved(a, b) for a, b in pairs if {regime_of(f.scenario, f.roof) for f in (a, b)} == {regime}]
        if len(found) >= ENOUGH:
            yield spread(f"move.{name}.{regime}", found, f"{source}, regime {regime}", how)


def spread(name: str, values: list[float], source: str, how: str, factor: float = 1.0) -> list[object]:
    """Return a parameter row: the 90th percentile of absolute log ratios."""
    ordered = sorted((abs(v), 1.0) for v in values)
    value = f"{factor * weighted_quantile(ordered, 0.9):.3g}"
    return [name, value, value, value, "1", len(ordered), source, f"p90 of {how}"]


def moved(a: Fact, b: Fact) -> float:
    """Return ln of attainment b / a."""
    return math.log((b.efficiency / b.roof.ceiling) / (a.efficiency / a.roof.ceiling))


def siblings(facts: list[Fact], field: int) -> Iterator[tuple[Fact, Fact]]:
    """Yield neighbours that differ in one field of their key alone."""
    groups: dict[tuple[object, ...], list[Fact]] = defaultdict(list)
    for f in facts:
        rest = f.key[:field] + f.key[field + 1 :]
        groups[(group(f.row), *rest)].append(f)
    for found in groups.values():
        found.sort(key=lambda f: str(f.key[field]).zfill(9))
        yield from pairwise(found)


def repeats(path: Path) -> list[float]:
    """Return ln ratios of TPOT between repeats of one configuration and version."""
    groups: dict[tuple[str, ...], set[float]] = defaultdict(set)
    for r in rows(path):
        if r["mode"] == "agg" and r["silicon_tpot_ms"]:
            concurrency = re.findall(r"silicon_concurrency=([^;]*)", r["silicon_data_source"])
            skip = {"id", "silicon_data_source", "silicon_ttft_ms", "silicon_tpot_ms"}
            groups[(*(v for k, v in r.items() if k not in skip), *concurrency)].add(float(r["silicon_tpot_ms"]))
    return [math.log(b / min(g)) for g in groups.values() if len(g) > 1 for b in sorted(g)[1:]]


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def write(name: str, header: list[str], table: Iterable[list[object]]) -> None:
    """Write a CSV file into the package."""
    with (OUT / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
