"""Each arm's own setting, found before the test, as a design of the report."""

from collections.abc import Iterator
from dataclasses import replace

from coregpt.report.designs.bracket.refit import contradictions
from coregpt.report.designs.bracket.section import bracket_section
from coregpt.report.designs.bracket.words import METHOD, NO_RANKS, bracket_notes, remark
from coregpt.report.designs.design import ReportDesign
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.verdicts.basis import Basis
from coregpt.stats.design import unpooled
from coregpt.stats.power import detectable
from coregpt.stats.response import Response, allowance, mistuning


class Bracket(ReportDesign):
    """Comparisons allow for how surely the arms' settings are known."""

    def basis(self, study: StudyFacts, basis: Basis) -> Basis:
        found = study.bracket
        if found is None:
            return basis
        responses = {each.arm: response_of(each) for each in found.arms}

        def allowed(arm: str, variance: float) -> float:
            return allowance(*(mistuning(responses[name], variance) for name in (arm, study.baseline)))

        design = unpooled(basis.design)
        sd = study.assumed_sd
        planned = None if sd is None else detectable(design, sd, study.level, study.power)
        return replace(basis, design=design, detectable=planned, allowance=allowed, no_ranks=NO_RANKS)

    def settings(self, report: Report) -> dict[str, dict[str, float]]:
        return report.study.bracket.settings if report.study.bracket else {}

    def seeds(self, report: Report) -> Iterator[int]:
        for each in report.study.bracket.arms if report.study.bracket else ():
            yield from each.seeds

    def contradictions(self, report: Report) -> Iterator[str]:
        return contradictions(report.study)

    def remark(self, study: StudyFacts, comparison: Comparison) -> str:
        return remark(study.bracket) if study.bracket and comparison.arm not in study.incomparable else ""

    def notes(self, report: Report) -> list[str]:
        return bracket_notes(report.study.bracket) if report.study.bracket else []

    def method(self, report: Report) -> list[str]:
        return [METHOD] if report.study.bracket else []

    def sections(self, report: Report) -> Iterator[Section]:
        if report.study.bracket is not None:
            yield bracket_section(report)


def response_of(each: ArmBracket) -> Response:
    """The fit as it was made, from the facts alone."""
    return Response(
        optimum=each.optimum,
        kind=each.kind,
        minimum=each.minimum,
        interval=each.interval,
        curvature=each.curvature,
        expected_loss=each.expected_loss,
        edge=each.edge,
        cliff=each.cliff,
        tuned=not each.why_not,
        why_not=each.why_not,
        seeds=len(each.seeds),
        coefficients=each.coefficients,
    )
