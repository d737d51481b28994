"""What a study may spend, held against what its runs have spent: from disk, so that every call counts the same."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.design import Allowance
from coregpt.lab.progress import duration
from coregpt.lab.records.status import Planned, status_of
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan, PlannedRun


def allowance_of(study: Study) -> Allowance:
    """No limits where nothing declares any."""
    return next((found for design in DESIGNS if (found := design.allowance(study)) is not None), Allowance())


def too_long(seconds: float, allowance: Allowance) -> str:
    """Why a run that has trained for so long counts as failed; empty if it does not."""
    most = allowance.seconds_per_run
    if most is None or seconds <= most:
        return ""
    return f"it trained for {seconds:.1f} s and the study's budget is {duration(most)} for every run"


class Meter:
    """Hours of training in all runs of a study, those of the trials before it included."""

    def __init__(self, plans: Iterable[Plan], store: Path):
        self.store = store
        self.runs = {run.id: (run, plan) for plan in plans for run in (*plan.trunks, *plan.runs)}
        self.seconds = {id_: self._trained(id_) for id_ in self.runs}

    def look(self, ids: Iterable[str]) -> None:
        """Again, at runs that may have gone on."""
        self.seconds |= {id_: self._trained(id_) for id_ in ids if id_ in self.runs}

    @property
    def hours(self) -> float:
        return sum(seconds * self.runs[id_][1].study.gpus_per_run for id_, seconds in self.seconds.items()) / 3600

    def _trained(self, id_: str) -> float:
        run, plan = self.runs[id_]
        return trained(run, plan, self.store)


def trained(run: PlannedRun, plan: Plan, store: Path) -> float:
    """Seconds, its own part only."""
    return status_of(store, Planned(run.id, plan.study.name, run.arm, run.seed), running=False).seconds


def spent_words(hours: float, allowance: Allowance) -> str:
    """`8.01 of 8 h`, with the money that is."""
    money = f" ({hours * allowance.price:.2f} USD)" if allowance.price else ""
    return f"{hours:.3g} of {allowance.hours:.3g} h{money}"


class Deadline:
    """A moment on a clock by which a call must have ended; it takes the longest run so far for every run to come."""

    def __init__(self, until: float | None, plan: Plan, store: Path):
        self.until = until
        done = [run for run in plan.runs if RunFolder(store / run.id).result() is not None] if until else []
        self.longest = max((trained(run, plan, store) for run in done), default=0.0)

    def took(self, seconds: float) -> None:
        """A run has ended."""
        self.longest = max(self.longest, seconds)

    def passed(self, now: float) -> str:
        """Why nothing may go on; "" while it may."""
        return "" if self.until is None or now < self.until else "its time is up"

    def too_late(self, now: float) -> str:
        """Why no run is started; "" while one may be."""
        if self.until is None or now + self.longest < self.until:
            return ""
        return f"a run takes {duration(self.longest)}, and {duration(max(0.0, self.until - now))} are left"


class Limits:
    """What the study of a launcher may still spend, by what is on disk."""

    def __init__(self, plan: Plan, store: Path, before: Sequence[Plan] = ()):
        self.plan, self.store, self.allowance = plan, store, allowance_of(plan.study)
        self.meter = None if self.allowance.hours is None else Meter((*before, plan), store)

    def too_long(self, run: PlannedRun) -> str:
        """Why a run that has a checkpoint is not gone on with; empty if it is."""
        if self.allowance.seconds_per_run is None:
            return ""
        return too_long(trained(run, self.plan, self.store), self.allowance)

    def look(self, ids: Iterable[str]) -> None:
        """Again, at runs that may have gone on."""
        if self.meter is not None:
            self.meter.look(ids)

    def spent(self) -> str:
        """How much, if the study may train no more; "" while it may."""
        if self.meter is None or self.meter.hours < (self.allowance.hours or 0):
            return ""
        return spent_words(self.meter.hours, self.allowance)
