"""One question at several sizes: each size is a study of its own, declared together with the others."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Outline
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.yamlfile import Key

FEWEST = 3
"""Two sizes give a difference and no trend."""


def problems(sizes: Mapping[str, Any], scales: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the list of sizes, before any setting is looked at."""
    if sizes and len(sizes) < FEWEST:
        yield ("sizes",), f"a trend needs at least {FEWEST} sizes, smallest first, got {len(sizes)}"
    for name in sizes:
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            yield ("sizes", name), "a size's name becomes part of a folder's; use letters, digits, '-' and '_'"
        if name in scales:
            yield ("sizes", name), "is also the name of a scale; their reports would be in one folder"


def overlay(sizes: Mapping[str, dict[str, Any] | None], size: str) -> tuple[Key, dict[str, Any]]:
    """Where the file says what a size is, and what it lays over base and scale."""
    return ("sizes", size), sizes.get(size) or {}


def alike(studies: Sequence[Study]) -> Iterator[Problem]:
    """Sizes that come to the same settings."""
    for i, study in enumerate(studies):
        for other in studies[:i]:
            if [arm.settings() for arm in study.arms] == [arm.settings() for arm in other.arms]:
                yield ("sizes", study.size), f"is the same as '{other.size}': every resolved setting is equal"


def check_order(outlines: Sequence[Outline]) -> None:
    """Sizes must grow, and stay one comparison: raises ConfigError naming the size that does not."""
    counts = [(made.study, made.costs[made.baseline.name].parameters) for made in outlines]
    for (smaller, few), (larger, many) in pairwise(counts):
        if many <= few:
            raise ConfigError(
                f"{larger.path}: sizes: '{larger.size}' has {many:,} parameters, '{smaller.size}' before it {few:,}; "
                "list sizes from the smallest to the largest"
            )
