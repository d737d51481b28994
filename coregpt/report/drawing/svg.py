"""The few pieces of SVG the charts need: elements, compact coordinates, linear scales and round tick values."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """An element; `_` in attribute names becomes `-`, a trailing `_` is dropped, numbers are shortened.

    `content` is markup; escape text first (see `text`).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value) if isinstance(value, (int, float)) else value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> str:
    """A line of text, escaped."""
    attributes: dict[str, str | float] = {"x": x, "y": y}
    if class_:
        attributes["class"] = class_
    if anchor != "start":
        attributes["text-anchor"] = anchor
    return element("text", escape(words, quote=False), **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Iterable[tuple[float, float]], class_: str) -> str:
    """An open line through points; points that are not finite are left out."""
    return element("polyline", points=_points(points), class_=class_)


def polygon(points: Iterable[tuple[float, float]], class_: str) -> str:
    """A closed filled shape."""
    return element("polygon", points=_points(points), class_=class_)


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    short = f"{value:.1f}"
    return short[:-2] if short.endswith(".0") else short


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points if math.isfinite(x) and math.isfinite(y))


@dataclass(frozen=True)
class Scale:
    """Maps data in [low, high] linearly to pixels in [start, stop]."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values far outside are held within reach of the frame."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, -5.0), 6.0) * (self.stop - self.start)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values inside the range."""
        step = nice_step((self.high - self.low) / count)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def nice_step(rough: float) -> float:
    """The nearest of 1, 2, 5 x 10^k at or above a rough step."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def tick_labels(ticks: list[float]) -> list[str]:
    """Labels with just enough decimals to tell neighbouring ticks apart."""
    if len(ticks) < 2:
        return [f"{tick:g}" for tick in ticks]
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return [f"{tick if abs(tick) > 1e-12 else 0:,.{digits}f}".replace("-", "\u2212") for tick in ticks]


def padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """A range widened by a share on both sides; an empty range gets some width."""
    width = (high - low) or abs(high) * 1e-3 or 1.0
    return low - share * width, high + share * width


def ruled(y: Scale, left: float, right: float, count: int = 5) -> list[str]:
    """A line across at about `count` round values, each with its label at the left."""
    ticks, parts = y.ticks(count), []
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts += [line(left, y(tick), right, y(tick), "grid"), text(left - 8, y(tick) + 4, label, "tick", "end")]
    return parts
