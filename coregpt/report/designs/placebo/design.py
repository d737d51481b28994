"""A placebo, as a design of the report: one line."""

from coregpt.report.designs.design import ReportDesign
from coregpt.report.facts.model import Report
from coregpt.report.facts.placebo import PlaceboFacts


class Placebo(ReportDesign):
    """How often nothing is called something here."""

    def notes(self, report: Report) -> list[str]:
        return [] if report.study.placebo is None else [line(report.study.placebo, report.study.baseline)]


def line(found: PlaceboFacts, baseline: str) -> str:
    """`Placebo: of 1,000 studies of base against itself, drawn from 18 of its runs, 4.1% called nothing something`."""
    low, high = found.interval
    return (
        f"Placebo: of {found.draws:,} studies of {baseline} against itself, {found.seeds} seeds a side, drawn from "
        f"{found.runs} of its runs, {found.called / found.draws:.1%} called nothing something (95% interval of the "
        f"drawing {low:.1%} to {high:.1%}); once for real: {found.verdict}."
    )
