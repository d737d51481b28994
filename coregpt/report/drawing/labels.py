"""Words beside the ends of lines, moved apart where they would overlap."""

from collections.abc import Sequence

from coregpt.report.drawing.svg import element, text


def spread(heights: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Heights in their order, each `gap` apart from the next at least, from `top` on and at `bottom` at most.

    Where there is no room for all they go on above `top`.
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    found = [max(top, min(heights[i], bottom)) for i in order]
    for i in range(1, len(found)):
        found[i] = max(found[i], found[i - 1] + gap)
    for i in range(len(found) - 1, -1, -1):
        limit = bottom + 4 if i == len(found) - 1 else found[i + 1] - gap
        found[i] = min(found[i], limit)
    moved = [0.0] * len(heights)
    for place, height in zip(order, found, strict=True):
        moved[place] = height
    return moved


def end_labels(x: float, ends: Sequence[tuple[int, str, float]], top: float, bottom: float, gap: float = 20.0) -> str:
    """The name of each line (series, name, height of its end) in its colour, lowest on the page last."""
    heights = spread([height for _, _, height in ends], gap, top, bottom)
    drawn = sorted(zip(ends, heights, strict=True), key=lambda each: each[0][2])
    return "".join(
        element("g", text(x, height + 5, name, "end"), class_=f"s{series}") for (series, name, _), height in drawn
    )
