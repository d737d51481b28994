"""What a design of a study may add to its report. A new design is a folder beside this file and one line in the list.

The methods stand in the order in which a report is made. Each has a default that adds nothing, and each is called for
every study: a design finds out from the facts whether the study uses it. They see facts only; what is read from
the lab and from disk is `Collector`'s, so that pages are made without either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coregpt.report.designs.early import Early
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.basis import Basis
from coregpt.report.verdicts.compare import Outcomes

Fields = dict[str, Any]
"""Fields of a model by name."""


@dataclass(frozen=True)
class Known:
    """What there is to analyse: every planned run in order, and the outcomes of those that count."""

    study: StudyFacts
    runs: Sequence[RunFacts]
    outcomes: Outcomes


class ReportDesign:
    """A design that adds nothing."""

    judges = False
    """Whether what it finds says something of an arm: a pilot does without."""

    def basis(self, study: StudyFacts, basis: Basis) -> Basis:
        """How arms are tested, if not as otherwise."""
        return basis

    def decide_early(self, study: StudyFacts, basis: Basis, runs: Sequence[RunFacts]) -> Early | None:
        """What was decided before the end; None for a study that waits for it. `runs` as in `Known`."""
        return None

    def analyse(self, known: Known) -> Fields:
        """Its fields of `Report`."""
        return {}

    def timing(self, known: Known) -> Fields:
        """Its fields of `Timing`: everything a clock had a part in."""
        return {}

    def settings(self, report: Report) -> Mapping[str, Mapping[str, Any]]:
        """By arm and dotted setting what was found before the test, so that a replication runs with the same."""
        return {}

    def seeds(self, report: Report) -> Iterable[int]:
        """Seeds that the study used beside those of its runs."""
        return ()

    def contradictions(self, report: Report) -> Iterable[str]:
        """Published facts of its own that do not follow from the others, by the rules of this version."""
        return ()

    def headline(self, study: StudyFacts, comparisons: Sequence[Comparison]) -> str:
        """What follows the headline; begins with a space."""
        return ""

    def remark(self, study: StudyFacts, comparison: Comparison) -> str:
        """What follows the sentence on one arm; begins with a space."""
        return ""

    def notes(self, report: Report) -> list[str]:
        """What a careful reader must know; `report` is whole but for its notes."""
        return []

    def notes_on_trials(self, report: Report) -> list[str]:
        """The same of what trials before the test have found, which the report has once it is whole."""
        return []

    def method(self, report: Report) -> list[str]:
        """Paragraphs on what was fixed beforehand."""
        return []

    def broken(self, report: Report) -> list[str]:
        """Promises of the study that did not hold: `ablate` tells them and ends with exit code 1."""
        return []

    def sections(self, report: Report) -> Iterable[Section]:
        """Its sections of the pages, where there is something to say."""
        return ()

    def appendix(self, report: Report) -> Iterable[Section]:
        """What stands behind everything else."""
        return ()
