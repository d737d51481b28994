"""Studies that list techniques instead of arms: every arm is a set of the techniques, laid over the base.

leave_one_out   `all` (baseline) and `without-NAME` for each: what a technique is worth in the company of the others
add_one         `none` (baseline) and `only-NAME` for each: what it is worth alone
factorial       every subset, `none` is the baseline: main effects and interactions
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from coregpt.lab.study.declaration import Combination, Mode
from coregpt.lab.study.problems import Problem

ALL, NONE = "all", "none"
FEWEST = {"leave_one_out": 2, "add_one": 1, "factorial": 2}
"""Techniques: of one alone, leaving it out and adding it would be the same study."""
MOST_FACTORS = 4
"""2^4 = 16 arms; beyond that a full factorial is no longer affordable."""


def subsets(mode: Combination, techniques: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Arm name -> the techniques it has, baseline first."""
    everything = tuple(techniques)
    if mode == "leave_one_out":
        without = {f"without-{name}": tuple(t for t in everything if t != name) for name in everything}
        return {ALL: everything, **without}
    if mode == "add_one":
        return {NONE: (), **{f"only-{name}": (name,) for name in everything}}
    sizes = range(len(everything) + 1)
    return {"+".join(chosen) or NONE: chosen for size in sizes for chosen in combinations(everything, size)}


def baseline(mode: Combination) -> str:
    """Name of the arm every other arm is compared with."""
    return ALL if mode == "leave_one_out" else NONE


def problems(
    mode: Mode | None,
    techniques: Mapping[str, Any] | None,
    arms: Mapping[str, Any] | None,
    test: Mapping[str, Any],
    fork_at: float | None = None,
) -> Iterator[Problem]:
    """What is wrong with how a study says what its arms are, before any option is looked at."""
    if mode != "fork" and fork_at is not None:
        yield ("fork_at",), "needs 'mode: fork'"
    if mode == "fork":
        if fork_at is None:
            yield ("mode",), "'fork' needs 'fork_at: 0.7', the share of the run that all arms have in common, or a step"
        if techniques is not None:
            yield ("techniques",), "'mode: fork' compares listed 'arms'; list them instead"
        elif arms is None:
            yield ("arms",), "is missing"
        for key in ("looks", "anytime", "abort"):
            if test.get(key):
                yield ("test", key), f"a fork's runs begin in the middle; '{key}' needs whole runs, remove it"
        return
    if mode is None:
        if techniques is not None:
            yield ("techniques",), "needs 'mode: leave_one_out', 'mode: add_one' or 'mode: factorial'"
        elif arms is None:
            yield ("arms",), "is missing"
        return
    if arms is not None:
        yield ("arms",), f"'mode: {mode}' makes the arms from 'techniques'; remove 'arms' or 'mode'"
    if techniques is None:
        yield ("mode",), f"'{mode}' needs 'techniques: {{NAME: {{}}, ...}}', the plugins to combine"
        return
    if len(techniques) < FEWEST[mode]:
        yield ("techniques",), f"'mode: {mode}' needs at least {FEWEST[mode]}, got {len(techniques)}"
    if mode == "factorial" and len(techniques) > MOST_FACTORS:
        arms_needed = f"{len(techniques)} would be {2 ** len(techniques)} arms"
        yield ("techniques",), f"'mode: factorial' takes at most {MOST_FACTORS}, {arms_needed}; use leave_one_out"
    given = test.get("baseline", baseline(mode))
    if given != baseline(mode):
        yield ("test", "baseline"), f"'mode: {mode}' compares with '{baseline(mode)}'; leave the key out"
