"""The page of `coregpt plugins widths`: activations over width, and losses over learning rates at each width."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coregpt.lab.laws.widths import GROWS, Coordinates, Sweep
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.labels import end_labels
from coregpt.report.drawing.markup import Block, Picture, Section
from coregpt.report.drawing.numbers import DASH, fixed, short, signed
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.svg import Scale, element, line, padded, polyline, ruled, text
from coregpt.report.drawing.tables import Table

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720.0, 62.0, 470.0, 34.0, 290.0
BELOW = 54.0
"""Of the frame: ticks and the name of the axis."""
GAP = 17.0
"""Between the names of two lines."""


@dataclass(frozen=True)
class Widths:
    """What was measured, by the name of a model: the plain one, and that with the technique."""

    technique: str
    rate: float
    steps: int
    coordinates: Mapping[str, Coordinates]
    sweep_steps: int = 0
    sweeps: Mapping[str, Sweep] | None = None


def lead(found: Widths) -> str:
    """In a sentence for each model, what grows and whether the best rate moves."""
    parts = [f"{name}: {grown(each)}" for name, each in found.coordinates.items()]
    parts += [f"{name}: {rates_told(each)}" for name, each in (found.sweeps or {}).items()]
    return "; ".join(parts) + "."


def grown(found: Coordinates) -> str:
    """How many places grow, and the steepest of them."""
    slopes = found.slopes()
    growing = {place: own for place, own in slopes.items() if own > GROWS}
    if not growing:
        return f"none of {len(slopes)} places grows with width"
    most = max(growing, key=growing.__getitem__)
    return f"{len(growing)} of {len(slopes)} places grow with width, {most} with its power of {growing[most]:.2f}"


def rates_told(found: Sweep) -> str:
    """Where the best rates are, and whether that can be known."""
    best, ends = found.best(), (found.rates[0], found.rates[-1])
    words = f"the best rate moves by {signed(found.moved(), 1)} octaves from width {min(best)} to {max(best)}"
    edge = [f"{width:,}" for width, rate in best.items() if rate in ends]
    return f"{words} (at the edge of those tried at width {', '.join(edge)})" if edge else words


def coordinates_table(found: Widths) -> Table:
    """Activations by place and width, and how they grow."""
    rows = []
    for name, each in found.coordinates.items():
        slopes = each.slopes()
        for place, sizes in each.sizes.items():
            own = slopes.get(place)
            rows.append((name, place, *(f"{size:.3g}" for size in sizes), fixed(own, 2), _word(own)))
    widths = next(iter(found.coordinates.values())).widths
    head = ("model", "place", *(f"width {width:,}" for width in widths), "power", "with width")
    return Table(f"Mean absolute activation after {found.steps} steps at learning rate {found.rate:g}", head, rows)


def _word(own: float | None) -> str:
    if own is None:
        return DASH
    return "grows" if own > GROWS else "falls" if own < -GROWS else "flat"


def sweep_table(found: Widths) -> Table:
    """Losses by width and rate, the best of each width marked."""
    sweeps, rows = found.sweeps or {}, []
    rates = next(iter(sweeps.values())).rates
    for name, each in sweeps.items():
        best = each.best()
        for width, losses in each.losses.items():
            cells = (
                fixed(loss, 3) + ("*" if rate == best[width] else "") for rate, loss in zip(rates, losses, strict=True)
            )
            rows.append((name, f"{width:,}", *cells))
    head = ("model", "width", *(f"2^{math.log2(rate):g}" for rate in rates))
    title = f"Training loss at the end of {found.sweep_steps:,} steps, by learning rate; * is the lowest of its width"
    return Table(title, head, rows)


def page(found: Widths) -> Page:
    """The whole page."""
    return Page(
        title=f"{found.technique}: what width changes",
        eyebrow="CoreGPT widths",
        heading=f"{found.technique}: what width changes",
        lead=lead(found),
        series=max(max(len(each.sizes), len(each.widths)) for each in found.coordinates.values()),
        sections=list(_sections(found)),
    )


def _sections(found: Widths) -> Iterator[Section]:
    words = (
        "A model of each width is trained for a few steps on one batch of random tokens; then the mean absolute output "
        f"of its parts is taken, layers together. A power up to {GROWS:g} counts as flat. Toy models, one seed: this "
        "shows the direction and no size of an effect."
    )
    charts = [coordinates_picture(name, each) for name, each in found.coordinates.items()]
    content: list[Block] = [words, *charts, coordinates_table(found)]
    yield Section("Activations", tuple(content))
    if found.sweeps:
        words = (
            "A model of each width is trained at each rate, on the same rows of the embedded text with the same seed. "
            "The score is the mean training loss of the last tenth of the steps; a run that diverged has learned "
            "nothing. Where the lowest points stand below each other, a rate found on a narrow model holds for a "
            "wide one."
        )
        charts = [sweep_picture(name, each) for name, each in found.sweeps.items()]
        yield Section("Learning rates", (words, *charts, sweep_table(found)))


def coordinates_picture(name: str, found: Coordinates) -> Picture:
    """A line for each place with its name, both axes logarithmic, all beginning at 1: what grows goes up."""
    grown = {place: [size / sizes[0] for size in sizes] for place, sizes in found.sizes.items() if min(sizes) > 0}
    heights = [math.log2(value) for own in grown.values() for value in own]
    bottom = max(BOTTOM, TOP + GAP * len(grown))  # room for every name
    x = _log_scale(found.widths)
    y = Scale(*padded(min([*heights, -1.0]), max([*heights, 1.0])), bottom, TOP)
    parts, ends = [*ruled(y, LEFT, RIGHT), *_width_ticks(found.widths, x, bottom)], []
    for index, (place, own) in enumerate(grown.items()):
        points = [(x(math.log2(width)), y(math.log2(value))) for width, value in zip(found.widths, own, strict=True)]
        parts.append(element("g", polyline(points, "mean"), class_=f"s{index}"))
        ends.append((index, short(place, 30), points[-1][1]))
    parts.append(end_labels(RIGHT + 10, ends, TOP, bottom, GAP))
    words = f"{name}: log2 of activations over those of the narrowest model, by width; a line for each place"
    parts.append(text(LEFT, 16, f"{name}: log2 of activations over those of the narrowest", "label"))
    return Picture(f"coordinates-{name}.svg", figure("".join(parts), WIDTH, bottom + BELOW, words), words)


def sweep_picture(name: str, found: Sweep) -> Picture:
    """A curve for each width over log2 of the rate, its lowest point marked."""
    losses = [loss for each in found.losses.values() for loss in each]
    x = _log_scale(found.rates)
    y = Scale(*padded(min(losses), max(losses)), BOTTOM, TOP)
    parts = ruled(y, LEFT, RIGHT)
    for rate in found.rates:
        parts.append(text(x(math.log2(rate)), BOTTOM + 20, f"2^{math.log2(rate):g}", "tick", "middle"))
    parts.append(text(RIGHT, BOTTOM + 42, "learning rate", "label", "end"))
    best, ends = found.best(), []
    for index, (width, own) in enumerate(found.losses.items()):
        points = {rate: (x(math.log2(rate)), y(loss)) for rate, loss in zip(found.rates, own, strict=True)}
        low = points[best[width]]
        drawn = polyline(list(points.values()), "mean") + element("circle", cx=low[0], cy=low[1], r=5, class_="dot")
        parts.append(element("g", drawn, class_=f"s{index}"))
        ends.append((index, f"width {width:,}", list(points.values())[-1][1]))
    parts.append(end_labels(RIGHT + 10, ends, TOP, BOTTOM, GAP))
    words = f"{name}: training loss over the learning rate, a curve for each width"
    parts.append(text(LEFT, 16, f"{name}: training loss in nats per token", "label"))
    return Picture(f"rates-{name}.svg", figure("".join(parts), WIDTH, BOTTOM + BELOW, words), words)


def _log_scale(values: Sequence[float]) -> Scale:
    return Scale(*padded(math.log2(values[0]), math.log2(values[-1]), 0.03), LEFT, RIGHT)


def _width_ticks(widths: Sequence[int], x: Scale, bottom: float) -> list[str]:
    parts = [line(LEFT, bottom, RIGHT, bottom, "axis")]
    parts += [text(x(math.log2(width)), bottom + 20, f"{width:,}", "tick", "middle") for width in widths]
    return [*parts, text(RIGHT, bottom + 42, "width", "label", "end")]
