"""The section on what would decide the arms that are not decided."""

from coregpt.report.drawing.markup import Section
from coregpt.report.drawing.numbers import DASH, si
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report

TITLE = "What would decide it"


def further_section(report: Report) -> Section:
    """Seeds beyond the present ones."""
    return Section(TITLE, (_words(report), _table(report)))


def _words(report: Report) -> str:
    study = report.study
    return (
        f"For each undecided arm, the seeds beyond the present ones that would settle a difference of {study.margin:g} "
        f"with {study.power:.0%} probability, in runs of the arm and the baseline. Hours are training time measured "
        "here. Seeds added to this study make it exploratory, as its results are known: declare a new one on fresh "
        "seeds, with looks if it should stop as soon as it can."
    )


def _table(report: Report) -> Table:
    hours = report.timing.more_hours
    rows = [
        (
            c.arm,
            str(c.more_seeds),
            str(c.more_runs),
            si(c.more_flops),
            f"{hours[c.arm]:.2g}" if c.arm in hours else DASH,
        )
        for c in report.comparisons
        if c.more_runs
    ]
    return Table("To settle it", ("arm", "more seeds", "runs", "FLOPs", "hours"), rows)
