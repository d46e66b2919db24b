"""``mlsysim calibrate [LOG ...]``: a log or a measurement into eta, and from there to other devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlsysim.cli import options
from mlsysim.results import Result

if TYPE_CHECKING:
    from mlsysim.calibration import Profile

_STATED = ("throughput", "time_s", "efficiency")


@click.command("calibrate", short_help="Turn a log or a measurement into eta.")
@click.argument("logs", nargs=-1, metavar="[LOG ...]")
@click.option("--model", help="the model that was run; left out where the log names one that is known")
@click.option("--hardware", help="the device it ran on")
@click.option("--throughput", multiple=True, help="measured, all devices: '2100 tok/s'; repeat it for several runs")
@click.option("--time-s", "--time", "time_s", multiple=True, help="measured time of a step, in place of a throughput")
@click.option("--efficiency", "--mfu", "efficiency", multiple=True, help="an MFU you read, in place of a throughput")
@click.option("--convention", help="how that MFU's FLOPs were counted: causal, full-attention, 6n or hardware")
@click.option("--flops-per-token", help="FLOPs per token or sample, in place of a model")
@click.option("--peak-flops", "--peak", "peak_flops", help="dense peak of all devices, in place of hardware")
@click.option("--overhead", "overhead_s", help="part of a step that no faster hardware removes: '2 ms'")
@click.option("--on", multiple=True, help="then ask the same of these devices: h200,b200")
@click.option("--suggest", is_flag=True, help="say which measurements would narrow the intervals most")
@options.saved
@options.question
@options.output
def command(
    logs: tuple[str, ...],
    on: tuple[str, ...],
    suggest: bool,
    save: str | None,
    user: bool,
    note: str,
    output: str,
    **question: Any,
) -> None:
    """Turn a log, or a measured number, into eta, checked against physics.

    LOG is what a program left: results of vLLM, SGLang, TensorRT-LLM, GuideLLM, AIPerf, llama-bench or Ollama, logs of
    trainers, MLPerf, exports of experiment trackers, PyTorch traces, a CSV with named columns; its format is found from
    what it holds. Several files are several points of one run. A bare number such as '2100 tok/s' is a measurement.

    What physics excludes is refused, with the mistakes that would explain the number and what each would give. With
    --on, what was measured is carried to other devices, with the interval that the move costs.
    """
    from mlsysim.report.calibrated import calibration_table, parameters_table, points_table, suggestions_table
    from mlsysim.report.tables import emit

    if save is None:
        refuse_unsaved(user, note)
    profile = _profile(logs, question)
    elsewhere = _elsewhere(profile, on)
    data: dict[str, Any] = profile.to_dict() if len(profile) > 1 else profile.main.to_dict()
    table = calibration_table(profile.main) if len(profile) == 1 else points_table(profile)
    if elsewhere:
        data["elsewhere"] = [r.to_dict() for r in elsewhere]
    told = _learned(profile)
    if told:
        data["parameters"] = [p._asdict() for p in told]
    further = _suggestions(profile) if suggest else []
    if suggest:
        data["suggest"] = [s.to_dict() for s in further]
    # Saved before anything is said: an answer is whole, or there is none.
    saved = options.save(profile, save, user=user, note=note, **_named(question)) if save is not None else ""
    if output != "csv" or not elsewhere:
        emit(output, [c.to_dict() for c in profile] if output == "csv" else data, table)
    _below(output, elsewhere)
    more = [parameters_table(told)] if told else []
    if suggest:
        more.append(suggestions_table(further))
    for table in more if output in {"table", "markdown"} else ():
        print()
        emit(output, None, table)
    if suggest and output == "csv":
        print()
        emit(output, data["suggest"], suggestions_table(further))
    options.say_points_notes(profile)
    options.say_left_out(profile)
    options.say_results_notes(elsewhere)
    print(saved, end="\n" if saved else "", file=sys.stderr)


def refuse_unsaved(user: bool, note: str) -> None:
    """Refuse what says how to keep a measurement that is not kept."""
    from mlsysim.errors import InvalidValue

    for name, value in (("user", "--user" if user else ""), ("note", note)):
        if value:
            raise InvalidValue(name, "left out where nothing is saved", value, "`--save NAME` keeps the calibration")


def _profile(logs: tuple[str, ...], question: dict[str, Any]) -> Profile:
    """Return what was measured: from logs, from bare numbers, or from the options."""
    from mlsysim.calibration import Profile, calibrate
    from mlsysim.calibration.from_log import calibrate_log
    from mlsysim.calibration.logs.bare import bare
    from mlsysim.errors import InvalidValue

    numbers = [bare(text) for text in logs if not Path(text).exists()]
    if (logs and not numbers) or (numbers and None in numbers):
        given = [name for name in _STATED if question[name]]
        if given:
            raise InvalidValue(given[0], "left out where a log is given", _given(question[given[0]]))
        asked = {name: value for name, value in question.items() if name not in _STATED}
        return calibrate_log([Path(text) for text in logs], **asked)
    for number in numbers:
        assert number is not None
        question[number.quantity] = (*question[number.quantity], number.text)
    return Profile((calibrate(**{**question, **{name: _given(question[name]) for name in _STATED}}),))


def _named(question: dict[str, Any]) -> dict[str, str]:
    """Return what model and hardware were called, where they were."""
    return {name: question[name] for name in ("model", "hardware") if question[name]}


def _elsewhere(profile: Profile, on: tuple[str, ...]) -> tuple[Result, ...]:
    from mlsysim.calibration.transfer import changed
    from mlsysim.errors import InvalidValue
    from mlsysim.whatif import compare_calibrated

    if not on:
        return ()
    if profile.main.scenario is None:
        hint = "a device needs the model"
        raise InvalidValue("on", "left out where flops_per_token stands for a model", ",".join(on), hint)
    changed(profile.main)
    return compare_calibrated(profile, ",".join(on))


def _learned(profile: Profile) -> list[Any]:
    """Return what several points say of the parameters; one point moves the scale alone."""
    from mlsysim.calibration.learned import learned

    return learned(profile.ordered) if len(profile) > 1 else []


def _suggestions(profile: Profile) -> list[Any]:
    from mlsysim.calibration.suggest import suggestions

    return suggestions(profile.ordered)


def _below(output: str, elsewhere: tuple[Result, ...]) -> None:
    from mlsysim.report.answers import compare_table
    from mlsysim.report.tables import emit

    if elsewhere and output != "json":
        print(end="" if output == "csv" else "\n")
        emit(output, [r.to_dict() for r in elsewhere], compare_table(elsewhere))


def _given(values: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """Return nothing, the one value, or all: an error then quotes what was typed."""
    return values[0] if len(values) == 1 else values or None
