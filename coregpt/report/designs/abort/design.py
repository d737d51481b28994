"""Leaving arms unfinished, as a design of the report."""

from collections.abc import Iterator, Sequence

from coregpt.report.designs.abort.analysis import decide_at_pause
from coregpt.report.designs.abort.section import TITLE, table, words
from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.early import Early, told_otherwise
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.basis import Basis


class Abort(ReportDesign):
    """Arms that pause, and are finished only if there is hope."""

    judges = True

    def decide_early(self, study: StudyFacts, basis: Basis, runs: Sequence[RunFacts]) -> Early | None:
        return decide_at_pause(study, basis.design, runs)

    def notes(self, report: Report) -> list[str]:
        if report.pause is None:
            return []
        known = [arm for arm in report.pause.arms if arm.chance is not None]
        seeds = len(report.study.seeds)
        return told_otherwise(
            report.study, {arm.arm: (seeds, "aborted" if arm.aborted else "continue") for arm in known}
        )

    def sections(self, report: Report) -> Iterator[Section]:
        if report.pause is not None:
            yield Section(TITLE, (words(report), table(report)))
