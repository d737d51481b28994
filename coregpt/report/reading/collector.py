"""What a design of a study collects, beside what is collected for every study."""

from pathlib import Path
from typing import Any

from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.runs import RunFacts
from coregpt.report.reading.found import Found


class Collector:
    """A design that collects nothing. The only place on this floor that sees the lab's study and the folder of runs."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        """Its fields of `StudyFacts`."""
        return {}

    def find(self, study: Study, trials: Plan, store: Path) -> Found | None:
        """What the trials of a study found; None if they are not the design's, or while a run has no outcome."""
        return None

    def checked(self, runs: list[RunFacts], plan: Plan, store: Path) -> list[RunFacts]:
        """The collected runs; those that break a promise of the design have no outcome."""
        return runs
