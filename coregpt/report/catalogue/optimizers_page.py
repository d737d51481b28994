"""Our order of optimizers beside a published one, as a page."""

from collections.abc import Iterator, Sequence

from coregpt.report.catalogue.atlas import findings, word
from coregpt.report.catalogue.facts import Catalogued, Effect
from coregpt.report.catalogue.names import NAMES, OPTIMIZERS_PICTURE
from coregpt.report.catalogue.published import CORE, Setting, agreement, measured, published_gain, settings
from coregpt.report.catalogue.told import DIGITS, verdict
from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.markup import Block, Picture, Section
from coregpt.report.drawing.numbers import listing, p_value, plural, si, signed, span
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.svg import Scale, element, line, padded, text, tick_labels
from coregpt.report.drawing.tables import Table

REPORT = "atlas/updates"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760.0, 420.0, 76.0, 360.0


def optimizers_page(found: Catalogued, warning: str, top_html: str = "") -> Page | None:
    """None where there is nothing published, or no report of ours, to compare."""
    effects = measured(found, REPORT)
    both = {row.technique: row.optimizer for row in found.published if row.technique in effects}
    if not both:
        return None
    return Page(
        title="CoreGPT: optimizers, here and elsewhere",
        eyebrow="CoreGPT",
        heading="Optimizers, here and elsewhere",
        lead=warning,
        series=4,
        sections=[
            Section("Every optimizer in both", (*_words(found, effects, both), _table(found, effects, both))),
            Section("One beside the other", (_picture(found, effects, both),)),
            Section("What is not the same", tuple(_differences(found, effects))),
        ],
        top_html=top_html,
        chart_rules=NAMES,
    )


def _words(found: Catalogued, effects: dict[str, Effect], both: dict[str, str]) -> Iterator[str]:
    yield (
        "Gains over AdamW, positive where the loss is lower: ours with defaults and a learning rate of each arm's own, "
        "in nats per byte, and those of a study that tuned all settings of all of them with equal effort, in nats per "
        "token. Only the order can be compared."
    )
    for at in settings(found.published):
        pairs = [(effects[name].gain, published_gain(found.published, each, at)) for name, each in both.items()]
        known = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
        if not 3 <= len(known) <= 9:
            continue
        rho, p = agreement([ours for ours, _ in known], [theirs for _, theirs in known])
        yield (
            f"{_told(at)}: rank correlation {rho:.2f} over {plural(len(known), 'optimizer')}; of all orders a share "
            f"of {p_value(p)} agrees as well."
        )


def _told(at: Setting) -> str:
    return f"{at[0]} and {at[1]:g} times 20 tokens a parameter"


def _table(found: Catalogued, effects: dict[str, Effect], both: dict[str, str]) -> Table:
    words = {row.technique: word(row) for row in findings(found) if row.effect.report == REPORT}
    head = (
        "optimizer",
        "gain here",
        "95% interval",
        "over the atlas",
        "our report alone",
        *(f"{size}, {n:g} x" for size, n in _at(found)),
    )
    rows = []
    for name, optimizer in sorted(both.items(), key=lambda each: -(effects[each[0]].gain or 0.0)):
        effect = effects[name]
        theirs = (signed(published_gain(found.published, optimizer, at), DIGITS) for at in _at(found))
        ours = (signed(effect.gain, DIGITS), span(effect.interval, DIGITS), words.get(name, ""), verdict(effect))
        rows.append((f"{optimizer} ({name})", *ours, *theirs))
    return Table("Gains over AdamW, here and as published", head, rows, words=True)


def _at(found: Catalogued) -> list[Setting]:
    return settings(found.published)


def _differences(found: Catalogued, effects: dict[str, Effect]) -> Iterator[str]:
    one = next(iter(effects.values()))
    yield (
        f"Here a model of {si(one.parameters)} parameters reads {si(one.tokens)} tokens, "
        f"{one.tokens / one.parameters:.2f} a parameter, where the published ones read 20 and more; what needs many "
        "steps to fit its statistics has few. Rates of an arm move by one factor; nothing else is tuned. Ours was "
        f"measured on {one.machine}."
    )
    names = {row.optimizer for row in found.published if row.technique not in {*effects, CORE}}
    if names:
        yield f"Published and not here: {listing(sorted(names))}."
    theirs = {row.technique for row in found.published}
    ours = [name for name in effects if name not in theirs]
    if ours:
        yield f"Here and not published there: {listing(sorted(ours))}. The atlas has them."
    yield "What was published, and where, is in reports/published."


def _picture(found: Catalogued, effects: dict[str, Effect], both: dict[str, str]) -> Block:
    at = settings(found.published)[0]
    points = [
        (optimizer, theirs, effects[name])
        for name, optimizer in both.items()
        if (theirs := published_gain(found.published, optimizer, at)) is not None
    ]
    told = f"Gain over AdamW here, with its 95% interval, against the published one at {_told(at)}"
    return Picture(OPTIMIZERS_PICTURE, scatter(points, _told(at)), told)


def scatter(points: Sequence[tuple[str, float, Effect]], where: str) -> str:
    """A dot an optimizer: its published gain to the right, ours upwards."""
    ends = [0.0, *(end for _, _, effect in points for end in (effect.gain or 0.0, *(effect.interval or ())))]
    x = Scale(*padded(min(0.0, *(p for _, p, _ in points)), max(0.0, *(p for _, p, _ in points)), 0.08), _LEFT, 740)
    y = Scale(*padded(min(ends), max(ends), 0.05), _BOTTOM, 36)
    parts = []
    for scale, across in ((x, True), (y, False)):
        ticks = scale.ticks(6)
        for tick, label in zip(ticks, tick_labels(ticks), strict=True):
            place = scale(tick)
            if across:
                parts.append(text(place, _BOTTOM + 22, label, "tick", "middle"))
                parts.append(line(place, _BOTTOM, place, _BOTTOM + 5, "axis"))
            else:
                parts += [text(_LEFT - 8, place + 5, label, "tick", "end"), line(_LEFT, place, 740, place, "grid")]
    parts += [line(x(0), 36, x(0), _BOTTOM, "zero"), line(_LEFT, y(0), 740, y(0), "zero")]
    for name, theirs, effect in points:
        parts += _dot(name, x(theirs), effect, y)
    parts.append(text(740, _BOTTOM + 46, f"published gain, nats per token, {where} →", "label", "end"))
    parts.append(text(2, 20, "gain here, nats per byte", "label"))
    label = f"Gains of {plural(len(points), 'optimizer')} over AdamW, here and as published"
    return figure("".join(parts), _WIDTH, _HEIGHT, label)


def _dot(name: str, across: float, effect: Effect, y: Scale) -> list[str]:
    parts = []
    if effect.interval:
        parts.append(line(across, y(effect.interval[0]), across, y(effect.interval[1]), "bar"))
    parts.append(element("circle", cx=across, cy=y(effect.gain or 0.0), r=4, class_="dot"))
    left = across > 640
    parts.append(
        text(across + (-9 if left else 9), y(effect.gain or 0.0) + 5, name, "tick", "end" if left else "start")
    )
    return [element("g", "".join(parts), class_="s1")]
