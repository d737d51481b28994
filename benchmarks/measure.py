"""Timing that survives a busy machine: alternate the two sides, compare neighbours, take medians."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How long `ours` takes in units of `theirs`."""

    median: float
    low: float
    """Smallest median of the repetitions."""
    high: float
    ours_ms: float
    theirs_ms: float


def timed(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def compare(ours: Callable[[], object], theirs: Callable[[], object], pairs: int, repetitions: int = 5) -> Ratio:
    """Ratio of processor time, ours to theirs: `repetitions` medians of `pairs` alternating pairs each.

    Processor time of one single-threaded process, not wall time: a neighbour who takes the core away
    stretches the wall clock of whichever side happens to run.
    """
    for call in (ours, theirs):
        call()
    medians, ours_all, theirs_all = [], [], []
    for _ in range(repetitions):
        ratios = []
        for pair in range(pairs):
            order = (ours, theirs) if pair % 2 else (theirs, ours)
            first, second = timed(order[0]), timed(order[1])
            mine, other = (first, second) if pair % 2 else (second, first)
            ratios.append(mine / other)
            ours_all.append(mine)
            theirs_all.append(other)
        medians.append(statistics.median(ratios))
    ours_ms, theirs_ms = 1e3 * statistics.median(ours_all), 1e3 * statistics.median(theirs_all)
    return Ratio(statistics.median(medians), min(medians), max(medians), ours_ms, theirs_ms)
