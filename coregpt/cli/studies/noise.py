"""`coregpt noise`: the A/A floor of a study's baseline."""

import shlex
from dataclasses import replace
from pathlib import Path

from coregpt.cli.programs import answer
from coregpt.cli.screen import say
from coregpt.cli.studies.folders import refuse_folder
from coregpt.cli.studies.loading import load_study
from coregpt.cli.studies.resources import Resources
from coregpt.cli.studies.training import execute, ready, refuse_in_vain
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import write_text
from coregpt.lab.designs.noise import Grid, Measured, measured, noise_plan, record, repeat_store, repeated
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.losses import METRIC
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan
from coregpt.report.designs.noise.analysis import NoiseReport, components, sharing
from coregpt.report.designs.noise.pages import noise_lines, render_noise
from coregpt.report.verdicts.exit_codes import INTERRUPTED


def noise(path: Path, scale: str | None, use: Resources, grid: Grid) -> int:
    """Train the grid and the repetitions, write the report. Exit code 1 if a run failed, 130 if interrupted."""
    grid.check()
    study_plan = plan(outline(load_study(path, scale, use.store, use.slurm)), use.nodes)
    if foreign(study_plan.baseline.run) is not None:
        raise ConfigError(
            f"{path}: a program has one seed, and this splits the luck of initial weights from that of data order; "
            "coregpt placebo says how often nothing looks like something"
        )
    made = noise_plan(study_plan, grid)
    store = use.store
    parts = [(made, use), *((repeated(made), part) for part in repetitions(use, grid))]
    for each, place in parts:
        refuse_in_vain(each, place)
    refuse_folder(made.study, use, "noise")
    folder = use.reports / made.study.name
    ready(store, made, folder)
    say(f"How much luck is in one run of {study_plan.baseline.name}?")
    again = f"the first one executed {grid.repeats} times"
    say(f"{grid.inits} initial weights x {grid.orders} data orders = {len(made.runs)} runs, {again}")
    for each, place in parts:
        tally = execute(each, place)
        if tally.interrupted:
            say("stopped; the same command goes on from here")
            return INTERRUPTED
        if tally.failed:
            say(f"{len(tally.failed)} runs failed; the same command tries them again")
            return 1
    report = noise_report(study_plan, made, measured(made, store, grid), _command(path, scale, grid))
    files = render_noise(report)
    for name, text in files.items():
        write_text(folder / name, text)
    record(made, store, report.model_dump(mode="json"))
    for line in ("", *noise_lines(report), "", *(f"  {folder / name}" for name in files)):
        say(line)
    answer("noise", {**report.model_dump(mode="json"), "files": [str(folder / name) for name in files]})
    return 0


def repetitions(use: Resources, grid: Grid) -> list[Resources]:
    """Where the first run is executed the second time, and so on."""
    return [replace(use, store=repeat_store(use.store, number)) for number in range(2, grid.repeats + 1)]


def noise_report(study_plan: Plan, made: Plan, found: Measured, command: str) -> NoiseReport:
    """Everything the pages show."""
    study, base = study_plan.study, study_plan.baseline
    test, treatments = study.criterion, len(study.compared) - 1
    values = tuple(tuple(map(float, row)) for row in found.values)
    parts = components(values, found.repeats.tolist())
    return NoiseReport(
        name=made.study.name,
        arm=base.name,
        question=study.question,
        metric=METRIC[made.study.reads],
        unit=f"nats per {made.source.unit}",
        scale=study.scale,
        device=made.runs[0].config.device,
        data=made.source.name,
        parameters=study_plan.costs[base.name].parameters,
        tokens=study_plan.costs[base.name].tokens,
        alpha=test.alpha,
        power=test.power,
        treatments=treatments,
        values=values,
        repeats=tuple(found.repeats.tolist()),
        components=parts,
        sharing=sharing(parts, alpha=test.alpha, power=test.power, treatments=treatments),
        run_ids=tuple(run.id for run in made.runs),
        command=command,
    )


def _command(path: Path, scale: str | None, grid: Grid) -> str:
    numbers = {"--init": grid.inits, "--data": grid.orders, "--repeats": grid.repeats}
    words = [text for name, number in numbers.items() for text in (name, str(number))]
    return shlex.join(["coregpt", "noise", str(path), *(["--scale", scale] if scale else []), *words])
