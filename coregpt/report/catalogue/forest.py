"""A picture of many comparisons: a line each, with gain, interval and what the whole table allows to say."""

from coregpt.report.catalogue.atlas import BETTER_WITHOUT, LOWERS, MISSED, OPEN, RAISES, word
from coregpt.report.catalogue.facts import Finding
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.svg import Scale, element, line, padded, text, tick_labels

SERIES = {LOWERS: 3, MISSED: 3, RAISES: 2, BETTER_WITHOUT: 2, OPEN: 0}
"""The colour of each word."""
ENDS = {False: ("loss is higher with it", "lower"), True: ("loss is lower without it", "missed: higher without it")}
"""Of the axis, where techniques were added and where they were left out."""
_WIDTH, _LEFT, _ROW = 760.0, 190.0, 22.0


def forest(rows: list[Finding], left_out: bool = False) -> str:
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
    low, high = ENDS[left_out]
    parts.append(text(x.start, bottom + 42, f"← {low}", "label"))
    parts.append(text(x.stop, bottom + 42, f"{high}, nats per byte →", "label", "end"))
    label = "What every technique is worth to one model, with 95% intervals"
    return figure("".join(parts), _WIDTH, bottom + 52, label)


def _forest_row(row: Finding, y: float, x: Scale) -> str:
    effect = row.effect
    parts = [text(_LEFT - 12, y + 4, row.technique, "tick", "end")]
    if effect.interval:
        parts.append(line(x(effect.interval[0]), y, x(effect.interval[1]), y, "bar"))
    hollow = "" if word(row) != OPEN else " hollow"
    parts.append(element("circle", cx=x(effect.gain or 0.0), cy=y, r=4, class_=f"dot{hollow}"))
    return element("g", "".join(parts), class_=f"s{SERIES[word(row)]}")
