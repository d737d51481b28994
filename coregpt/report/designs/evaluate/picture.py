"""Perplexity in long documents over the tokens that stand before, a line for each arm."""

import math
from collections.abc import Sequence

from coregpt.lab.study.evaluating import bucket_of
from coregpt.report.drawing.books import perplexity_lines
from coregpt.report.drawing.markup import Picture
from coregpt.report.drawing.numbers import short
from coregpt.report.facts.evaluate import Evaluated
from coregpt.report.facts.model import Report

Points = list[tuple[float, float]]
LARGEST = 700.0
"""Nats: exp of more is no float."""


def in_books(report: Report) -> list[Picture]:
    """One picture of a study that asked for books and has some; else none."""
    asked = report.study.evaluated
    lines = {} if asked is None else _lines(report, asked)
    if asked is None or not any(lines.values()):
        return []
    drawn = [(index, short(arm), lines[arm]) for index, arm in enumerate(arm.name for arm in report.study.arms)]
    drawn = [each for each in drawn if each[2]]
    length = max(last for _, last in _buckets(asked)) + 1
    words = f"Perplexity in books over the tokens that stand before, for {len(drawn)} arms"
    title = "perplexity in books, mean loss over seeds"
    return [Picture("books.svg", perplexity_lines(drawn, length, asked.context, title, words), words)]


def _buckets(asked: Evaluated) -> list[tuple[int, int]]:
    found = [bucket_of(outcome.name) for outcome in asked.outcomes]
    return [each for each in found if each is not None]


def _lines(report: Report, asked: Evaluated) -> dict[str, Points]:
    """(middle of a bucket, perplexity of the mean loss over finished seeds) by arm."""
    found: dict[str, Points] = {arm.name: [] for arm in report.study.arms}
    for outcome in asked.outcomes:
        bucket = bucket_of(outcome.name)
        for arm, losses in outcome.values.items() if bucket is not None else ():
            assert bucket is not None
            if (loss := _mean(losses)) is not None:
                found[arm].append(((bucket[0] + bucket[1] + 1) / 2, math.exp(loss)))
    return found


def _mean(losses: Sequence[float | None]) -> float | None:
    known = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    return min(sum(known) / len(known), LARGEST) if known else None
