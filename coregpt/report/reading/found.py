"""What trials before a test have found: the settings that the test runs with, and what its report says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report


@dataclass(frozen=True)
class Found:
    """Of one design that trains before the test."""

    settings: Mapping[str, Mapping[str, Any]]
    """By arm and dotted setting."""
    lines: tuple[str, ...]
    """For the screen, one per arm."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `StudyFacts`: what the analysis must know."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Report` beside the analysis."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Training seconds of all trials, by arm."""
    in_vain: str = ""
    """Why no comparison of the test could be valid, so that it need not be trained."""
    notes: tuple[str, ...] = ()
    """Doubts that stand among the report's notes."""


def with_facts(study: StudyFacts, found: Found) -> StudyFacts:
    """The facts of the test with those that were found before it."""
    return study.model_copy(update=dict(found.facts))


def with_found(report: Report, found: Found) -> Report:
    """The report of the test with what was found before it."""
    timing = report.timing.model_copy(update={"tuning": dict(found.seconds)})
    more = {**found.fields, "timing": timing, "notes": (*report.notes, *found.notes)}
    return report.model_copy(update=more)
