"""Numbers that change linearly with the steps of a run."""

from coregpt.api import Clock


def risen(clock: Clock, start: float, end: float) -> float:
    """0 until `start`, 1 from `end` on, linear in between; both are `Span`s. Where `end` <= `start` it jumps."""
    first, last = clock.span(start), clock.span(end)
    if clock.step >= last or last <= first:
        return float(clock.step >= first)
    return max(0.0, (clock.step - first) / (last - first))
