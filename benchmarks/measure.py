"""Timing that survives a busy machine: alternate the two sides, compare neighbours, take the median."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How long `ours` takes in units of `theirs`."""

    median: float
    low: float
    """Of the repetitions."""
    high: float
    ours_ms: float
    theirs_ms: float


def timed(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def compare(ours: Callable[[], object], theirs: Callable[[], object], pairs: int, repetitions: int = 5) -> Ratio:
    """Ratio of processor time, ours to theirs, of `pairs` alternating pairs together: median of `repetitions`.

    Times are added up before they are divided, since steps of a schedule do not all cost the same.

    Processor time of one single-threaded process, not wall time: a neighbour who takes the core away
    stretches the wall clock of whichever side happens to run.
    """
    for call in (ours, theirs):
        call()
    ratios, ours_all, theirs_all = [], list[float](), list[float]()
    for _ in range(repetitions):
        for pair in range(pairs):
            order = (ours, theirs) if pair % 2 else (theirs, ours)
            first, second = timed(order[0]), timed(order[1])
            ours_all.append(first if pair % 2 else second)
            theirs_all.append(second if pair % 2 else first)
        ratios.append(sum(ours_all[-pairs:]) / sum(theirs_all[-pairs:]))
    ours_ms, theirs_ms = 1e3 * statistics.median(ours_all), 1e3 * statistics.median(theirs_all)
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), ours_ms, theirs_ms)
