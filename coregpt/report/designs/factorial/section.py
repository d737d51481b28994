"""The pages' section on effects."""

from coregpt.report.drawing.markup import Section
from coregpt.report.drawing.numbers import DASH, p_value, signed, span
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.factorial import Effects

TITLE = "Effects"
EFFECTS_READING = (
    "A main effect is the gain of a technique averaged over all combinations of the others. An interaction is half "
    "the difference between a technique's gain with the other one and without it. Interactions are read first: where "
    "one was shown, the simple effects say what the technique is worth in each company."
)


def effects_section(found: Effects, alpha: float) -> Section:
    """The effects, or why there are none."""
    return Section(TITLE, (EFFECTS_READING, f"None: {found.cause}." if found.cause else effects(found, alpha)))


def effects(found: Effects, alpha: float) -> Table:
    """Interactions, main effects and simple effects of a factorial, in the order of reading."""
    kinds = [("interaction", e) for e in found.interactions] + [("main effect", e) for e in found.main]
    kinds += [(f"simple effect {e.given}", e) for e in found.simple]
    rows = [
        (e.name, kind, signed(e.gain, 4), span(e.interval, 4), p_value(e.p), p_value(e.p_adjusted), e.verdict or DASH)
        for kind, e in kinds
    ]
    title = f"Gain in the metric, positive is better; one value per seed; p adjusted (Holm) decides at {alpha:g}"
    head = ("effect", "kind", "gain", "95% interval", "p alone", "p adjusted", "verdict")
    return Table(title, head, rows)
