"""`coregpt placebo`: the baseline against itself, through everything that a study goes through."""

import shlex
from pathlib import Path

from coregpt.cli.programs import answer_alone
from coregpt.cli.reports.report import write_report
from coregpt.cli.screen import say
from coregpt.cli.studies.folders import refuse_folder
from coregpt.cli.studies.pairs import read_alone
from coregpt.cli.studies.resources import Resources
from coregpt.cli.studies.training import execute, ready, refuse_in_vain
from coregpt.contract.errors import RunError
from coregpt.lab.planning.placebo import alone, twofold
from coregpt.lab.records import placebo as records
from coregpt.report.analysis.collect import study_facts
from coregpt.report.analysis.placebo import once, rate, told
from coregpt.report.designs.placebo.collect import name_of
from coregpt.report.designs.placebo.design import line
from coregpt.report.facts.placebo import PlaceboFacts
from coregpt.report.facts.runs import RunFacts
from coregpt.report.reading.runs import collect_runs, ledger_of
from coregpt.report.verdicts.exit_codes import DONE, FAILED, INTERRUPTED, UNDECIDED


def placebo(path: Path, scale: str | None, baseline: str | None, draws: int, use: Resources) -> int:
    """Train what is missing, report the one for real, print the rate. Exit code 1 if a run failed."""
    study = read_alone(path, scale, baseline, use.store)
    made = alone(study, use.nodes)
    compared = twofold(made, study)
    refuse_in_vain(made, use)
    refuse_folder(compared.study, use)
    folder = use.reports / made.study.name
    ready(use.store, made, folder)
    seeds, base = len(study.seeds), made.baseline.name
    say(f"How often would {study.name} call nothing something? {base} against itself, {seeds} seeds a side.")
    tally = execute(made, use)
    if tally.interrupted or tally.spent:
        say("stopped; the same command goes on from here")
        return INTERRUPTED if tally.interrupted else UNDECIDED
    if tally.failed:
        say(f"{len(tally.failed)} runs failed; the same command tries them again")
        return FAILED
    arm = compared.study.arms[-1].name
    command = shlex.join(["coregpt", "placebo", path.name])
    aside = {"placebo": None, "chain": None, "command": command}
    facts = study_facts(compared, use.store, "").model_copy(update=aside)
    runs = _outcomes(collect_runs(made, use.store, ledger_of(made, use.store)))
    report = once(facts, runs, arm)
    pool = records.pool(records.identity(made.runs[0].record), made.study.reads, use.store)
    say(f"{draws:,} studies are drawn from {len(pool)} runs of {base}")
    found = told(report, pool, draws, rate(facts, arm, pool, draws))
    records.record(name_of(compared), found.model_dump(mode="json"), use.store)
    write_report(once(facts.model_copy(update={"placebo": found}), runs, arm), folder)
    for text in ("", line(found, base), *caveats(found)):
        say(text)
    answer_alone("placebo", {"study": study.name, "baseline": base, **found.model_dump(mode="json")})
    return DONE


def caveats(found: PlaceboFacts) -> list[str]:
    """What the rate is not."""
    return [
        "Its two sides share no seeds, as a technique and its baseline would: that changes how much noise there is, "
        "not how often a test of it errs. The interval is that of the drawing: other runs of the baseline may "
        f"scatter otherwise than these {found.runs}."
    ]


def _outcomes(runs: list[RunFacts]) -> list[RunFacts]:
    """Raises RunError for a run without one."""
    lost = [run for run in runs if run.status in ("failed", "missing")]
    if lost:
        raise RunError(f"no outcome for {lost[0].arm}, seed {lost[0].seed}: {lost[0].reason}")
    return runs
