"""What the settings of an arm are tuned over, and which points of it are tried."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

DIGITS = 4
"""Significant digits of a sampled number: enough to tune, few enough to read and to type."""
DRAWS = 12
"""Two to this power are the points drawn at most, to find different ones in a space of few."""

Point = dict[str, Any]
"""Values by dotted setting."""


class TuningFile(BaseModel):
    """The key `tuning` of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    trials: Annotated[int, Field(ge=2, le=256)]
    """Settings tried for each arm, the baseline too."""
    seeds: Annotated[int, Field(ge=1, le=100)] | list[Annotated[int, Field(ge=0, lt=2**63)]] = 1
    """Seeds that trials run with: how many, or which; none of them may be a seed of the test."""
    space: dict[str, dict[str, Any]]
    """By arm, or for `all`: dotted setting -> {low, high, log} or a list of choices."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `log`: equal ratios are equally likely."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, share: float) -> float | int:
        """The number at a share of the range; whole numbers are all equally likely unless `log`."""
        low, high = self._ends()
        value = low + share * (high - low)
        value = math.exp(value) if self.log else value
        rounded = round(value) if self.whole else float(f"{value:.{DIGITS}g}")
        return min(max(rounded, self.low), self.high)

    def share(self, value: float) -> float:
        """Where a number lies between the ends, from 0 to 1."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def ends(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be."""
        return self.low, self.high

    def declared(self) -> Any:
        """As plain data."""
        return asdict(self)

    def _ends(self) -> tuple[float, float]:
        half = 0.5 if self.whole else 0.0
        ends = (self.low - half, self.high + half)
        return (math.log(ends[0]), math.log(ends[1])) if self.log else ends


@dataclass(frozen=True)
class Choices:
    """A list of values, all equally likely."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """The value at a share of the list."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def ends(self) -> tuple[Any, ...]:
        """Values that must be valid for all to be."""
        return self.values

    def declared(self) -> Any:
        """As plain data."""
        return list(self.values)


Space = Mapping[str, Range | Choices]


@dataclass(frozen=True)
class Trials:
    """How the settings of every arm are found before the test."""

    seeds: tuple[int, ...]
    space: Mapping[str, Space]
    """By arm."""
    trials: Mapping[str, tuple[Point, ...]]
    """By arm, the same number for each."""

    def declared(self) -> dict[str, Any]:
        """As plain data; the trials are part of it, so that what is tried cannot change unseen."""
        space = {arm: {path: each.declared() for path, each in own.items()} for arm, own in self.space.items()}
        return {"seeds": list(self.seeds), "space": space, "trials": {arm: list(t) for arm, t in self.trials.items()}}


def dimension(given: Any, current: Any) -> Range | Choices:
    """One entry of a space; `current` is the setting as declared. Raises ValueError saying what is wrong."""
    if isinstance(given, list):
        if len(given) < 2 or any(value in given[:i] for i, value in enumerate(given)):
            raise ValueError(f"expected at least two different choices, got {given!r}")
        return Choices(tuple(given))
    if not isinstance(given, dict) or not {"low", "high"} <= given.keys() <= {"low", "high", "log"}:
        raise ValueError(f"expected {{low: 0.001, high: 0.01, log: true}} or a list of choices, got {given!r}")
    low, high, log = given["low"], given["high"], given.get("log", False)
    for name in ("low", "high"):
        if type(given[name]) not in (int, float) or not math.isfinite(given[name]):
            raise ValueError(f"{name}: expected a number, got {given[name]!r}")
    if not isinstance(log, bool):
        raise ValueError(f"log: expected true or false, got {log!r}")
    if low >= high:
        raise ValueError(f"low must be below high, got {low:g} and {high:g}")
    if log and low <= 0:
        raise ValueError(f"with log, low must be above 0, got {low:g}")
    whole = type(low) is type(high) is int and type(current) is not float
    return Range(low if whole else float(low), high if whole else float(high), log, whole)


def points(space: Space, trials: int, name: str, current: Mapping[str, Any]) -> tuple[Point, ...]:
    """The declared settings first if the space has them, then a Sobol sequence shifted by what `name` hashes to.

    All points differ; fewer than `trials` if the space has no more.
    """
    from scipy.stats import qmc  # half a second that a study without trials does without

    first = {path: current[path] for path in space}
    found = [first] if all(first[path] in each for path, each in space.items()) else []
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    shift = np.random.default_rng(seed).random(len(space))
    for shares in (qmc.Sobol(len(space), scramble=False).random_base2(DRAWS) + shift) % 1:
        point = {path: each.at(float(share)) for (path, each), share in zip(space.items(), shares, strict=True)}
        if point not in found:
            found.append(point)
        if len(found) == trials:
            break
    return tuple(found)
