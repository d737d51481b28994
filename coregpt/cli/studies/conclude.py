"""What follows the runs of a study: its report, on the screen and as pages, and its curves in MLflow."""

import shlex
from pathlib import Path

from coregpt.cli.reports.report import write_report
from coregpt.cli.screen import say
from coregpt.cli.studies.publishing import how_to_publish, with_published
from coregpt.lab.planning import chain
from coregpt.lab.records.mirror import Conclusion, mirror
from coregpt.lab.records.tracking import database_uri
from coregpt.lab.study.outline import Plan
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.summary import summarise
from coregpt.report.designs import DESIGNS
from coregpt.report.facts.model import Report
from coregpt.report.pages.tracked import tracked_metrics, tracked_note, tracked_tags
from coregpt.report.reading.found import Found, with_facts, with_found
from coregpt.report.verdicts.confirmed import outcomes


def conclude(made: Plan, store: Path, folder: Path, exploratory: str, found: Found | None, mlflow: bool) -> list[str]:
    """Report what there is; the lines that say which promises of the study did not hold."""
    facts, runs = collect(made, store, exploratory)
    report = summarise(with_facts(facts, found) if found else facts, runs)
    report = with_found(report, found) if found else report
    write_report(with_published(made.study, report, folder), folder)
    for line in how_to_publish(made, store, folder):
        say(line)
    chain.conclude(made.study, outcomes(report.study, report.comparisons), store)
    if mlflow:
        came_to = Conclusion(tracked_metrics(report), tracked_tags(report), tracked_note(report))
        say()
        say("The report is complete; now its curves are copied to MLflow (--no-mlflow leaves that out).")
        warning = mirror(made, store, folder, came_to)
        say(warning or f"MLflow:  mlflow ui --backend-store-uri {shlex.quote(database_uri(store))}")
    return [*without_outcome(report, store), *(line for design in DESIGNS for line in design.broken(report))]


def without_outcome(report: Report, store: Path) -> list[str]:
    """What to do about comparisons that were declared and cannot be made, a line for each run that is to blame."""
    lost = [run for run in report.runs if run.status in ("failed", "missing")]
    return [f"no outcome for {run.arm}, seed {run.seed} ({store / run.run_id}): {run.reason}" for run in lost]


def report_invalid(made: Plan, store: Path, folder: Path) -> None:
    """The ledger contradicts what is on disk: every verdict says so."""
    write_report(summarise(*collect(made, store)), folder)
