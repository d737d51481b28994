"""`coregpt import`: logs of runs made elsewhere, with the same report as any study."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from coregpt.cli.reports.report import write_report
from coregpt.cli.screen import say
from coregpt.cli.studies.folders import owner, refuse_other
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import writable_folder
from coregpt.lab.logs.duplicates import drop_duplicates
from coregpt.lab.logs.files import LoggedArm, Selection, read_arms
from coregpt.lab.logs.judge import check_metric, check_step, last_common_step, mark_ends
from coregpt.lab.logs.repeats import average_repeats
from coregpt.report.analysis.summary import summarise
from coregpt.report.imported.facts import ImportSettings, imported_facts
from coregpt.report.places import own


@dataclass(frozen=True)
class ImportOptions:
    """The command's arguments; None where the default depends on the logs."""

    folder: Path
    arms: tuple[str, ...]
    baseline: str | None
    metric: str
    step: int | None
    name: str | None
    out: Path | None
    alpha: float
    margin: float
    target: float | None = None


def import_logs(options: ImportOptions) -> int:
    """Read the logs, judge them at one step and write the report. Raises ConfigError before anything is written."""
    if not 0 < options.alpha < 0.5 or not 0 < options.margin < math.inf:
        raise ConfigError("--alpha must lie between 0 and 0.5, --margin above 0")
    if options.target is not None and not 0 < options.target < math.inf:
        raise ConfigError(f"--target {options.target:g}: expected a value of the metric, above 0 and finite")
    if options.target is not None and options.step is not None:
        raise ConfigError("--step: with --target every arm is judged at its own end; leave one of them out")
    name = options.name or options.folder.resolve().name or "imported"
    if "/" in name or name.startswith("."):
        raise ConfigError(f"--name {name}: expected a plain name; say where to write with --out DIR")
    arms = _arms(options)
    steps = _judged_at(arms, options)
    settings = ImportSettings(
        name=name,
        source=f"the training logs in {options.folder.resolve().name or 'the root folder'}",
        baseline=options.baseline or arms[0].name,
        metric=options.metric,
        steps=steps,
        common=options.step is None,
        alpha=options.alpha,
        margin=options.margin,
        command=_command(options),
        target=options.target,
    )
    report = summarise(*imported_facts(arms, settings))
    out = options.out or own() / name
    refuse_other(out, owner(report), "call it otherwise (--name NAME), or write elsewhere (--out DIR)")
    writable_folder(out)
    for arm in arms:
        say(f"{arm.name}: {len(arm.runs)} runs" + (" (baseline)" if arm.name == settings.baseline else ""))
    write_report(report, out)
    return 0


def _judged_at(arms: list[LoggedArm], options: ImportOptions) -> dict[str, int]:
    """The step at which each arm is judged: its own end if there is a target, else one for all."""
    if options.target is not None:
        return {arm.name: last_common_step([arm], options.metric) for arm in arms}
    step = last_common_step(arms, options.metric) if options.step is None else options.step
    check_step(arms, options.metric, step)
    return {arm.name: step for arm in arms}


def _arms(options: ImportOptions) -> list[LoggedArm]:
    arms = read_arms(options.folder, [Selection.of(text) for text in options.arms])
    check_metric(arms, options.metric)
    drop_duplicates(arms, options.metric)
    mark_ends(arms, options.metric)
    average_repeats(arms, options.metric)
    empty = [arm for arm in arms if not arm.runs]
    if empty:
        told = "; ".join(text for arm in empty for text in arm.warnings)
        raise ConfigError(f"{empty[0].name}: every run is a copy of another arm's run ({told}); leave this arm out")
    return arms


def _command(options: ImportOptions) -> str:
    """What to type for the same report; the folder by its name, because where it lies is nobody's business."""
    words = ["coregpt", "import", options.folder.resolve().name]
    for text in options.arms:
        words += ["--arm", text]
    for flag, value in (("--baseline", options.baseline), ("--step", options.step), ("--name", options.name)):
        words += [] if value is None else [flag, str(value)]
    words += [] if options.target is None else ["--target", str(options.target)]
    words += [] if options.metric == "val_loss" else ["--metric", options.metric]
    return shlex.join([*words, "--alpha", f"{options.alpha:g}", "--margin", f"{options.margin:g}"])
