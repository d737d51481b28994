"""What the catalogue says of its effects, the same wherever it is shown: of one the verdict first, then the gain."""

from collections.abc import Iterable

from coregpt.report.catalogue.facts import Again, Catalogued, Effect
from coregpt.report.catalogue.names import WARNING
from coregpt.report.drawing.numbers import signed, span

DIGITS = 3
PILOT = "pilot, no verdict"
DECLARED = "at the declared learning rates"
USUAL = "nats per byte"
"""A unit that is said once for the page and not beside every number."""


def lead(found: Catalogued) -> str:
    """The first sentence of pages about all of them: what an effect is no promise of, and how many have none."""
    without = sum(all(effect.pilot for effect in each.effects) for each in found.techniques)
    said = f"{without} of the {len(found.techniques)} techniques have not been measured at all."
    return f"{WARNING} {said}" if without else WARNING


def verdict(effect: Effect) -> str:
    """The report's word on the arm, and that it is about the arm without the technique where that was left out."""
    words = PILOT if effect.pilot else effect.said or effect.verdict
    return f"{words} without it" if effect.left_out and not effect.pilot else words


def rates(effect: Effect) -> str:
    """At which learning rates the arms were compared."""
    return effect.untuned or ("each arm at its own, looked for before the test" if effect.tuned else DECLARED)


def confounds(effect: Effect) -> str:
    """What else differs; nothing if nothing does."""
    return f"differs in {' and '.join(effect.beside)} too" if effect.beside else ""


def verdict_in_full(effect: Effect) -> str:
    """With rates that nothing tuned and whatever else differs."""
    return ", ".join(filter(None, (verdict(effect), effect.untuned, confounds(effect))))


def fresh(again: Again | None) -> str:
    """The gain on fresh seeds; nothing where nobody looked."""
    if again is None:
        return ""
    ends = f" ({span(again.interval, DIGITS)})" if again.interval else ""
    return f"{signed(again.gain, DIGITS)}{ends}" + ("" if again.shown else ", not shown")


def told(effect: Effect) -> tuple[str, str]:
    """The verdict, and the rest of the line: gain, interval, where, and what it depends on."""
    where = f"{effect.arm} against {effect.baseline} in {effect.report}"
    if effect.pilot or effect.gain is None:
        return verdict(effect), where
    parts = [f"{_gain(effect)}, {where}", "" if effect.tuned and not effect.untuned else rates(effect)]
    parts += [confounds(effect), f"on fresh seeds {fresh(effect.again)}" if effect.again else ""]
    return _head(effect), "; ".join(filter(None, parts))


def _head(effect: Effect) -> str:
    """`missed` says of what was left out what `worse` says of the arm without it."""
    return "missed" if effect.left_out and effect.verdict == "worse" else verdict(effect)


def _gain(effect: Effect) -> str:
    unit = "" if effect.unit == USUAL else f" {effect.unit}"
    ends = span(effect.interval, DIGITS)
    if not effect.left_out:
        return f"{signed(effect.gain, DIGITS)}{unit} ({ends})"
    if effect.verdict == "worse":
        return f"by {signed(effect.gain, DIGITS).lstrip('+')}{unit} ({ends}) when left out"
    return f"loss {signed(effect.gain, DIGITS)}{unit} ({ends}) when left out"


def worth_showing(effects: Iterable[Effect]) -> list[Effect]:
    """Without pilots where anything was tested."""
    every = list(effects)
    return [each for each in every if not each.pilot] or every
