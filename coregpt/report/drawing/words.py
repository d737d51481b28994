"""A verdict in words, the same on every page and wherever it is pasted."""

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison

LITTLE = "by less than matters"
RATED = ("better", "worse", "equivalent", "screened", "candidate", "no sign", "inconclusive", "unstable")
"""Verdicts that depend on the learning rates they were reached at."""


def verdict_words(c: Comparison) -> str:
    """`better`, or `better, by less than matters`."""
    return f"{c.verdict}, {LITTLE}" if c.little else c.verdict


def rated(study: StudyFacts, c: Comparison) -> str:
    """`at one shared learning rate`, where nothing looked for the arm's own; else nothing."""
    return (study.untuned or {}).get(c.arm, "") if c.verdict in RATED else ""


def full_words(study: StudyFacts, c: Comparison) -> str:
    """The verdict with all that its words depend on: `exploratory: worse, at one shared learning rate`."""
    said = ", ".join(filter(None, [verdict_words(c), rated(study, c)]))
    return f"exploratory: {said}" if study.exploratory else said
