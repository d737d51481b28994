"""Deciding arms before all seeds, as a design of the report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.early import Early, told_otherwise
from coregpt.report.designs.looks.analysis import decide_by_looks
from coregpt.report.designs.looks.rule import rule_of
from coregpt.report.designs.looks.section import TITLE, table, words
from coregpt.report.designs.looks.words import no_peeking, stopped_early
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.basis import Basis
from coregpt.stats.looks.stopping import detectable_gain, stopping_design


class Looks(ReportDesign):
    """At some numbers of seeds, or after every one."""

    judges = True

    def basis(self, study: StudyFacts, basis: Basis) -> Basis:
        rule = rule_of(study)
        if rule is None:
            return basis
        found = None if study.assumed_sd is None else detectable_gain(rule, study.assumed_sd, study.power)
        return replace(basis, design=stopping_design(rule, len(study.treatments)), detectable=found)

    def decide_early(self, study: StudyFacts, basis: Basis, runs: Sequence[RunFacts]) -> Early | None:
        return decide_by_looks(study, basis.design, runs)

    def remark(self, study: StudyFacts, comparison: Comparison) -> str:
        return no_peeking(study, comparison) + stopped_early(comparison)

    def notes(self, report: Report) -> list[str]:
        if report.pause is not None or report.study.give_up is not None:  # their decisions
            return []
        arms = report.stopping.arms if report.stopping else ()
        return told_otherwise(
            report.study, {arm.arm: (arm.looks[-1].n, arm.looks[-1].decision) for arm in arms if arm.decided}
        )

    def sections(self, report: Report) -> Iterator[Section]:
        if report.stopping is not None:
            yield Section(TITLE, (words(report), table(report)))
