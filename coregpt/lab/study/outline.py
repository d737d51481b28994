"""What a study comes to: its arms as counted, and its runs, each fully resolved and ready to execute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.engine.accounting import Cost
from coregpt.engine.data import NAMES, TokenSource
from coregpt.lab.study.declaration import Arm, Axis, Stream, Study
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.part import RunPart
from coregpt.lab.study.readings import Readings


@dataclass(frozen=True)
class PlannedRun:
    """One arm with one seed, ready to execute."""

    id: str
    arm: str
    seed: int
    config: RunConfig
    record: dict[str, Any]
    """What its folder's config.json will say."""
    plugin_files: dict[str, Path]
    """Single plugin files to freeze into the folder."""
    needs: Readings = frozenset()
    """What it must have been read at on its way, whichever study had it trained."""

    @property
    def part(self) -> RunPart:
        """Which steps it trains itself."""
        return RunPart.of(self.record)


@dataclass(frozen=True)
class Outline:
    """What a study comes to on any machine, before its data are there."""

    study: Study
    costs: dict[str, Cost]
    """By arm."""
    derived: dict[str, dict[str, str]]
    """By arm: what its settings and plugins come to (see `derive`)."""
    trunk_step: int = field(default=0, kw_only=True)
    """How many steps the arms of one seed have in common, in a trunk; 0 where every run begins at its first step."""
    trunk_tokens: int = field(default=0, kw_only=True)
    """What the baseline trains on in them; arms may batch differently only afterwards."""

    @property
    def baseline(self) -> Arm:
        return next(arm for arm in self.study.arms if arm.name == self.study.criterion.baseline)

    def cost(self, arm: str) -> Cost:
        """Of one run of an arm; that of a trunk, which is no arm, were it trained to the baseline's end."""
        return self.costs.get(arm, self.costs[self.baseline.name])

    def share(self, run: PlannedRun) -> float:
        """The part of a whole run that one run trains: all of it, unless it begins with a trunk or is one."""
        return run.part.share(self.cost(run.arm).steps)

    def spent(self, arm: str, axis: Axis) -> float:
        """What training one run of an arm takes, of what a plan can know."""
        return self.flops_of(arm) if axis == "flops" else float(getattr(self.costs[arm], axis))

    def flops_of(self, arm: str) -> float:
        """Training FLOPs that end in one run of an arm; a branch was the baseline until it began."""
        cost, shared = self.costs[arm], self.trunk_tokens
        return shared * self.costs[self.baseline.name].flops_per_token + (cost.tokens - shared) * cost.flops_per_token

    @property
    def flops(self) -> float:
        """Training FLOPs of all runs; what arms share is counted once."""
        shared = self.trunk_tokens * self.costs[self.baseline.name].flops_per_token
        own = sum(self.flops_of(arm) - shared for arm in self.costs)
        return (own + shared) * len(self.study.seeds)


@dataclass(frozen=True)
class Plan(Outline):
    """Everything known before the first run."""

    source: TokenSource
    runs: tuple[PlannedRun, ...]
    """Arms in the study's order, each with its seeds."""
    trunks: tuple[PlannedRun, ...] = ()
    """What the arms begin with where they have a beginning in common, by seed."""
    sources: Mapping[str, TokenSource] = field(default_factory=dict)
    """By arm, where arms have data of their own; `source` is the baseline's."""
    scales: Mapping[str, Mapping[Stream, float]] = field(default_factory=dict)
    """By arm and stream: what a loss in nats per token is multiplied by to be in the metric's unit, if not by 1."""

    def source_of(self, arm: str) -> TokenSource:
        """The data of an arm, or of a trunk."""
        return self.sources.get(arm, self.source)

    def scale(self, arm: str, stream: Stream) -> float:
        """See `scales`."""
        return self.scales.get(arm, {}).get(stream, 1.0)

    @property
    def unit(self) -> str:
        """Of the metric; "" where nobody here knows it."""
        if foreign(self.baseline.run) is not None:
            return ""
        return f"nats per {self.source.unit}" if self.study.criterion.metric == "val_loss" else "bits per byte"

    def place(self) -> str:
        """`Data: ok is /home/me/ok` for a folder; nothing for data that have a name."""
        if (kind := foreign(self.baseline.run)) is not None:
            return kind.place()
        found: dict[str, str] = {}
        where = {run.arm: run.config.data for run in self.runs}
        for arm in self.study.arms:
            said, at, digest = arm.run.data, where[arm.name], self.source_of(arm.name).digest[:12]
            pairs = [(said.source, at.source), *((said.mixture[n].source, at.mixture[n].source) for n in said.mixture)]
            for name, place in pairs:
                if place not in NAMES:
                    found.setdefault(f"{name} is {place}", digest)
        return "" if not found else "Data: " + "; ".join(f"{text}, sha256 {digest}" for text, digest in found.items())
