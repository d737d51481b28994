"""Arms made from techniques, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.factorial.analysis import factorial_effects, mode_notes
from coregpt.report.designs.factorial.section import effects_section
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class Factorial(ReportDesign):
    """Effects where every subset of the techniques is an arm; else what leaving out or adding one says."""

    judges = True

    def analyse(self, known: Known) -> Fields:
        return {"effects": factorial_effects(known.study, known.outcomes)}

    def notes(self, report: Report) -> list[str]:
        return mode_notes(report.study, report.effects)

    def sections(self, report: Report) -> Iterator[Section]:
        if report.effects is not None:
            yield effects_section(report.effects, report.study.alpha)
