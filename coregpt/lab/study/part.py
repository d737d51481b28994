"""The part of a run that it trains itself: all of it, unless it ends where others begin or begins where one ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

WEIGHTS = "weights.pt"
"""What a finished run leaves of its model, in its folder."""
TRUNK = "(trunk)"
"""What stands for an arm's name in a trunk; no arm of a study file can have it by accident."""


@dataclass(frozen=True)
class RunPart:
    """Steps `begin` (0: the start) to `until` (None: the end), begun with the state of the run `trunk` if any."""

    until: int | None = None
    """Where a trunk ends."""
    trunk: str = ""
    """Id of the run that a branch begins with."""
    begin: int = 0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """What the record of a run (its config.json) says."""
        branch = record.get("branch") or {"trunk": "", "step": 0}
        return cls(record.get("until"), branch["trunk"], branch["step"])

    def record(self) -> dict[str, Any]:
        """As it stands in config.json and is hashed into the run's id; nothing for a whole run."""
        ends = {} if self.until is None else {"until": self.until}
        return ends | ({"branch": {"trunk": self.trunk, "step": self.begin}} if self.trunk else {})

    @property
    def is_trunk(self) -> bool:
        """Whether other runs begin where it ends: it has no result of its own."""
        return self.until is not None

    def span(self, steps: int, until: int | None = None) -> tuple[float, float]:
        """Where it begins and ends as shares of a whole run of `steps`, if it is executed to step `until` at most."""
        end = self.until if self.until is not None else steps if until is None else until
        return self.begin / steps, end / steps

    def share(self, steps: int) -> float:
        """What it trains of a whole run of `steps`."""
        begin, end = self.span(steps)
        return end - begin


WHOLE = RunPart()


def given_runs(record: Mapping[str, Any]) -> set[str]:
    """Ids of the runs whose weights the run with this record (its config.json) has as inputs."""
    return {source["run"] for source in (record["config"].get("inputs") or {}).values() if source.get("run")}
