"""What the runs of a plan will leave on disk: the final weights of every run that has not ended yet."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan

FP32_BYTES = 4


@dataclass(frozen=True)
class Kept:
    """Weights to come."""

    runs: int
    each: int
    """Bytes of the largest; buffers, which few techniques save, are left out."""
    bytes: int
    free: int
    """Bytes of the disk that no file has."""

    @property
    def fits(self) -> bool:
        return self.bytes < self.free


def kept(made: Plan, store: Path) -> Kept | None:
    """None where nothing will be kept. Runs that results may spare are counted as if they were needed."""
    if made.study.keep == "nothing" or foreign(made.baseline.run) is not None:
        return None
    todo = [run for run in made.runs if RunFolder(store / run.id).result() is None]
    sizes = [made.cost(run.arm).parameters * FP32_BYTES for run in todo]
    if not sizes:
        return None
    there = next(place for place in (store, *store.absolute().parents) if place.exists())
    return Kept(len(sizes), max(sizes), sum(sizes), shutil.disk_usage(there).free)
