"""What a published report on the same declaration says beside one's own, in sentences."""

from collections.abc import Iterator

from coregpt.report.drawing.numbers import decimals, signed, span
from coregpt.report.drawing.units import with_unit
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.published import Published, PublishedGain

LOST = ("failed", "missing")
"""Runs without an outcome: there is no number that could be another one."""


def agreement(report: Report, published: Published) -> Iterator[str]:
    """Whether the numbers are the same, or gains agree; and what is not the same as there."""
    if published.same:
        yield f"Every run came to what it came to in {published.path}, to the last digit."
    else:
        found = {gain.arm: gain for gain in published.gains}
        for c in report.comparisons:
            yield _of_arm(report, c, found.get(c.arm), published.path)
    names = [*published.code, *(f"{name} {there} (here {here})" for name, (there, here) in published.apart.items())]
    if names:
        yield f"Not the same as there: {'; '.join(names)}."
    elif not published.same and all(run.status not in LOST for run in report.runs):
        yield "Code, data and environment are the same as there, and the numbers are not."


def _of_arm(report: Report, c: Comparison, there: PublishedGain | None, path: str) -> str:
    if c.verdict == "invalid":
        return f"{c.arm}: cannot be held against {path}, it has no valid comparison here."
    digits, unit = decimals(report.study, report.comparisons), report.study.unit
    if there is None or c.gain is None:
        return f"{c.arm}: cannot be held against {path}, {'which' if there is None else 'it'} has no gain to compare."
    low, high = there.interval
    word = "agrees with" if low <= c.gain <= high else "DISAGREES with"
    gain = with_unit(signed(c.gain, digits), unit)
    return (
        f"{c.arm}: {word} {path}. Gain {gain}, there {signed(there.gain, digits)}; what "
        f"agrees lies from {span(there.interval, digits)}."
    )
