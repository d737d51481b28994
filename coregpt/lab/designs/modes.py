"""Studies that list techniques instead of arms: every arm is a set of the techniques, laid over the base.

leave_one_out   `all` (baseline) and `without-NAME` for each: what a technique is worth in the company of the others
add_one         `none` (baseline) and `only-NAME` for each: what it is worth alone
factorial       every subset, `none` is the baseline: main effects and interactions
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from coregpt.lab.designs.design import Design
from coregpt.lab.study.declaration import Combination, Mode, Study, StudyFile
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


class Modes(Design):
    """Arms made from `techniques`, or listed where there is no mode of these."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.mode is not None:
            yield f"mode: {file.mode}"

    def file_problems(self, file: StudyFile) -> Iterator[Problem]:
        mode, techniques, arms = combination(file.mode), file.techniques, file.arms
        if file.mode is None:
            if techniques is not None:
                yield ("techniques",), "needs 'mode: leave_one_out', 'mode: add_one' or 'mode: factorial'"
            elif arms is None:
                yield ("arms",), "is missing"
        if mode is None:
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
        if file.test.get("baseline", baseline(mode)) != baseline(mode):
            yield ("test", "baseline"), f"'mode: {mode}' compares with '{baseline(mode)}'; leave the key out"

    def arms(self, file: StudyFile) -> dict[str, tuple[str, ...]] | None:
        mode = combination(file.mode)
        return None if mode is None else subsets(mode, tuple(file.techniques or ()))

    def declare(self, file: StudyFile) -> dict[str, Any]:
        return {} if file.mode is None else {"mode": file.mode}


def combination(mode: Mode | None) -> Combination | None:
    """How arms are made from techniques; None where they are listed."""
    return None if mode is None or mode == "fork" else mode


def mode_of(study: Study) -> Mode | None:
    """As declared; None for a study that lists its arms and nothing more."""
    found: Mode | None = study.designs.get("mode")
    return found
