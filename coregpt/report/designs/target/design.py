"""A value of the metric to reach, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.target.analysis import find_targets, race_in_seconds, target_headline
from coregpt.report.designs.target.section import target_section
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report


class Target(ReportDesign):
    """Who reaches it, and how soon. No verdict follows from it; imported arms may be compared in nothing else."""

    judges = True

    def analyse(self, known: Known) -> Fields:
        found = find_targets(known.study, known.runs)
        if found is None:
            return {}
        said = {"headline": target_headline(known.study, found)} if known.study.imported else {}
        return {"targets": found, **said}

    def timing(self, known: Known) -> Fields:
        return {"to_target": race_in_seconds(known.study, known.runs)}

    def sections(self, report: Report) -> Iterator[Section]:
        if report.targets is not None:
            yield target_section(report)
