"""Readings of a run: losses on the way, which are looked at and change nothing, so they are no part of its identity."""

from coregpt.contract.config import RunConfig
from coregpt.lab.study.declaration import Stream
from coregpt.lab.study.part import RunPart

Reading = tuple[Stream, int]
"""The loss on a stream after so many steps."""
Readings = frozenset[Reading]


def evaluated(config: RunConfig, steps: int) -> set[int]:
    """After which of its steps a run is evaluated."""
    return {round(i * steps / config.evals) for i in range(config.evals + 1)} | {steps}


def along(config: RunConfig, steps: int, part: RunPart, trunk: Readings = frozenset()) -> Readings:
    """What a run must have been read at on its way, by its own settings: a curve on `held_out`, if it has one.

    `trunk`: of the run that it begins with.
    """
    wanted = evaluated(config, steps) if config.held_out_curve else set()
    begin, end = (-1 if not part.trunk else part.begin), (steps if part.until is None else part.until)
    own: Readings = frozenset(("held_out", step) for step in wanted if begin < step <= end)
    return own | trunk
