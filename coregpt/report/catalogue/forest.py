"""A picture of many comparisons: a line each, with gain, interval and what the whole table allows to say."""

from coregpt.report.catalogue.atlas import word
from coregpt.report.catalogue.facts import Finding
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.svg import Scale, element, line, padded, text, tick_labels

SERIES = {"lowers the loss": 3, "raises the loss": 2, "not shown": 0}
"""The colour of each word."""
_WIDTH, _LEFT, _ROW = 760.0, 190.0, 22.0


def forest(rows: list[Finding]) -> str:
    """A line a technique: its gain and 95% interval, coloured by what the whole table allows to say."""
    shown = [row for row in rows if row.effect.gain is not None]
    ends = [0.0, *(end for row in shown for end in (row.effect.gain or 0.0, *(row.effect.interval or ())))]
    x = Scale(*padded(min(ends), max(ends), 0.03), _LEFT, _WIDTH - 12)
    bottom = 10 + _ROW * len(shown)
    parts = [line(x(0), 4, x(0), bottom, "zero")]
    for place, row in enumerate(shown):
        parts.append(_forest_row(row, 10 + _ROW * (place + 0.5), x))
    parts.append(line(x.start, bottom, x.stop, bottom, "axis"))
    ticks = x.ticks(7)
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [
            line(x(tick), bottom, x(tick), bottom + 5, "axis"),
            text(x(tick), bottom + 20, label, "tick", "middle"),
        ]
    parts.append(text(x.start, bottom + 42, "← loss is higher with it", "label"))
    parts.append(text(x.stop, bottom + 42, "lower, nats per byte →", "label", "end"))
    label = "Gain of every technique over the same model without it, with 95% intervals"
    return figure("".join(parts), _WIDTH, bottom + 52, label)


def _forest_row(row: Finding, y: float, x: Scale) -> str:
    effect = row.effect
    parts = [text(_LEFT - 12, y + 4, row.technique, "tick", "end")]
    if effect.interval:
        parts.append(line(x(effect.interval[0]), y, x(effect.interval[1]), y, "bar"))
    hollow = "" if word(row) != "not shown" else " hollow"
    parts.append(element("circle", cx=x(effect.gain or 0.0), cy=y, r=4, class_=f"dot{hollow}"))
    return element("g", "".join(parts), class_=f"s{SERIES[word(row)]}")
