"""Perplexity in long documents over the tokens that stand before, a line for each arm."""

import math
from collections.abc import Sequence

from coregpt.lab.study.evaluating import bucket_of
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.curve_charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, frame
from coregpt.report.drawing.labels import end_labels
from coregpt.report.drawing.markup import Picture
from coregpt.report.drawing.numbers import short
from coregpt.report.drawing.svg import Scale, element, line, padded, polyline, text
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
    length = max(last for _, last in _buckets(asked)) + 1
    values = [value for points in lines.values() for _, value in points]
    x, y = Scale(0.0, length, LEFT, RIGHT), Scale(*padded(min(values), max(values)), BOTTOM, TOP)
    inside, ends = [], []
    if asked.context is not None:
        inside.append(line(x(asked.context), TOP, x(asked.context), BOTTOM, "zero"))
        inside.append(text(x(asked.context) + 6, TOP + 14, f"trained on {asked.context:,}", "tick"))
    for index, arm in enumerate(arm.name for arm in report.study.arms):
        if points := lines.get(arm):
            drawn = [(x(place), y(value)) for place, value in points]
            inside.append(element("g", polyline(drawn, "mean"), class_=f"s{index}"))
            ends.append((index, short(arm), drawn[-1][1]))
    axes = "tokens that stand before", "perplexity in books, mean loss over seeds"
    drawing = frame(x, y, *axes, "clip-books", "".join(inside)) + end_labels(RIGHT + 8, ends, TOP + 10, BOTTOM)
    words = f"Perplexity in books over the tokens that stand before, for {len(ends)} arms"
    return [Picture("books.svg", figure(drawing, WIDTH, HEIGHT, words), words)]


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
