"""Giving up within a screen, as a design of the report."""

from collections.abc import Sequence

from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.early import Early, told_otherwise
from coregpt.report.designs.give_up.analysis import GIVEN_UP, decide_by_chance
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.basis import Basis


class GiveUp(ReportDesign):
    """An arm that is left after some seeds."""

    judges = True

    def decide_early(self, study: StudyFacts, basis: Basis, runs: Sequence[RunFacts]) -> Early | None:
        return decide_by_chance(study, basis.design, runs)

    def notes(self, report: Report) -> list[str]:
        if report.study.give_up is None:
            return []
        (arm,), (found,) = report.study.treatments, report.comparisons
        given_up = found.verdict == "no sign" and found.cause.startswith(GIVEN_UP)
        return told_otherwise(report.study, {arm: (found.pairs, "futile")} if given_up else {})

    def method(self, report: Report) -> list[str]:
        if report.study.give_up is None:
            return []
        return [
            "Both arms were run seed by seed. The arm was to be given up after any seed from which on its chance to "
            f"come out as a candidate was under {report.study.give_up:.0%}: the predictive probability, given the "
            "gains so far, that Student's t of all seeds passes its limit. Giving up can lose a candidate and makes "
            "none, so the rate of false candidates is at most that of the test after all seeds."
        ]
