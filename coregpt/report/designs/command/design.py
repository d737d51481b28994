"""Arms that are programs of somebody else's, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.command.section import patches, program_section
from coregpt.report.designs.command.words import determinism, differs, untuned
from coregpt.report.designs.design import ReportDesign
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report


class Command(ReportDesign):
    """In what arms differ, whose numbers these are, and every line of code that is not the same."""

    def remark(self, study: StudyFacts, comparison: Comparison) -> str:
        return differs(study, comparison.arm)

    def notes(self, report: Report) -> list[str]:
        return list(filter(None, [determinism(report), untuned(report.study)]))

    def sections(self, report: Report) -> Iterator[Section]:
        if report.study.program is not None:
            yield program_section(report, report.study.program)

    def appendix(self, report: Report) -> Iterator[Section]:
        if report.study.program is not None:
            yield from patches(report.study.program)
