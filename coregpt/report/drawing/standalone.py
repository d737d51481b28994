"""Drawings as files of their own: with their colours, on paper, several on one sheet where they belong together.

Markdown has no drawings in it, so its pages link to these.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coregpt.report.drawing.svg import element, text
from coregpt.report.drawing.theme import CHART_CSS, colour_tokens, series_rules

GAP, CAPTION = 12.0, 26.0
VIEW_BOX = re.compile(r'^<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')


@dataclass(frozen=True)
class Captioned:
    """A drawing, what stands above it, and the class of its colours."""

    caption: str
    drawing: str
    series: str = ""


def standalone(drawing: str, series: int) -> str:
    """A drawing that needs no page; `series` is how many colours it may use."""
    style = colour_tokens().replace(":root", "svg") + series_rules(series) + CHART_CSS
    background = '<rect width="100%" height="100%" rx="10" style="fill:var(--paper)"/>'
    start, rest = drawing.split(">", 1)
    return f'{start} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{background}{rest}\n'


def sheet(drawings: Sequence[Captioned], columns: int, label: str) -> str:
    """Drawings of one size side by side and below each other."""
    sizes = [_size(each.drawing) for each in drawings]
    width, height = max(w for w, _ in sizes), CAPTION + max(h for _, h in sizes)
    parts = []
    for place, each in enumerate(drawings):
        row, column = divmod(place, columns)
        x, y = column * (width + GAP), row * (height + GAP)
        inner = text(12, 20, each.caption, "end") + element(
            "g", _inside(each.drawing), transform=f"translate(0 {CAPTION:g})"
        )
        parts.append(element("g", inner, transform=f"translate({x:g} {y:g})", class_=each.series or "s0"))
    across, down = min(columns, len(drawings)), -(-len(drawings) // columns)
    box = f"0 0 {across * (width + GAP) - GAP:g} {down * (height + GAP) - GAP:g}"
    return element("svg", "".join(parts), viewBox=box, role="img", aria_label=label)


def _size(drawing: str) -> tuple[float, float]:
    found = VIEW_BOX.match(drawing)
    assert found is not None
    return float(found[1]), float(found[2])


def _inside(drawing: str) -> str:
    return drawing.split(">", 1)[1].removesuffix("</svg>")
