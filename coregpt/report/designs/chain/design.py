"""Chains of studies, as a design of the report."""

from collections.abc import Sequence

from coregpt.report.designs.chain import words
from coregpt.report.designs.design import ReportDesign
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report


class Chain(ReportDesign):
    """The chain's sentence beside the study's own."""

    def headline(self, study: StudyFacts, comparisons: Sequence[Comparison]) -> str:
        return words.headline(study, comparisons)

    def remark(self, study: StudyFacts, comparison: Comparison) -> str:
        return words.sentence(study, comparison)

    def notes(self, report: Report) -> list[str]:
        return words.notes(report.study)

    def method(self, report: Report) -> list[str]:
        return words.method(report.study)
