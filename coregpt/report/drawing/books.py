"""Perplexity over the tokens that stand before, a line for each model."""

from collections.abc import Sequence

from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.curve_charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, frame
from coregpt.report.drawing.labels import end_labels
from coregpt.report.drawing.svg import Scale, element, line, padded, polyline, text

Points = Sequence[tuple[float, float]]
"""(tokens that stand before, perplexity)."""


def perplexity_lines(
    lines: Sequence[tuple[int, str, Points]],
    length: int,
    context: int | None,
    y_title: str,
    words: str,
    clip: str = "clip-books",
) -> str:
    """Lines are (place, whose colour it has; name; points); a mark stands where the trained `context` ends.

    `clip` is an id that no other picture of the page has.
    """
    values = [value for _, _, points in lines for _, value in points]
    x, y = Scale(0.0, length, LEFT, RIGHT), Scale(*padded(min(values), max(values)), BOTTOM, TOP)
    inside, ends = [], []
    if context is not None:
        inside.append(line(x(context), TOP, x(context), BOTTOM, "zero"))
        inside.append(text(x(context) + 6, TOP + 14, f"trained on {context:,}", "tick"))
    for place, name, points in lines:
        drawn = [(x(before), y(value)) for before, value in points]
        inside.append(element("g", polyline(drawn, "mean"), class_=f"s{place}"))
        ends.append((place, name, drawn[-1][1]))
    drawing = frame(x, y, "tokens that stand before", y_title, clip, "".join(inside))
    return figure(drawing + end_labels(RIGHT + 8, ends, TOP + 10, BOTTOM), WIDTH, HEIGHT, words)
