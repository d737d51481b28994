"""What the launcher's table shows: every run of a plan, those of other processes included, read from their files."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from coregpt.lab.progress import Line
from coregpt.lab.records.status import UNFINISHED, Planned, RunStatus, hours, status_of
from coregpt.lab.study.outline import Plan, PlannedRun

AT_ONCE = 64
"""Of the runs that this launcher does not execute, how many are looked at in one call; the others have their turn."""


class RunTable:
    """Looks again at what can still change; a look at a long study takes no longer than one at a short study."""

    def __init__(self, plan: Plan, store: Path):
        self.plan, self.store = plan, store
        self.runs = {run.id: run for run in (*plan.trunks, *plan.runs)}
        steps = {arm: plan.cost(arm).steps for arm in {run.arm for run in self.runs.values()}}
        self.steps = {id_: steps[run.arm] for id_, run in self.runs.items()}
        self.seen: dict[str, RunStatus] = {}
        """By run id, in the order of the table: trunks of a fork first."""
        self.rows: dict[str, Line] = {}
        self.turns = deque[str]()
        """Unfinished runs, the one not looked at for longest first."""
        self.active = set[str]()

    def lines(self, running: Collection[str], elsewhere: Collection[str]) -> list[Line]:
        """The table's rows now; `running` and `elsewhere` are the runs that this and other processes execute."""
        before, self.active = self.active, {*running, *elsewhere}
        if self.seen:
            self.look(before | self.active | set(self.due()), running, elsewhere)
        else:
            self.look(self.runs, running, elsewhere)
            self.turns.extend(id_ for id_ in self.runs if self.seen[id_].state in UNFINISHED)
        return list(self.rows.values())

    def due(self) -> Iterator[str]:
        """Some of the unfinished runs, in turn; those that have been completed leave."""
        for _ in range(min(AT_ONCE, len(self.turns))):
            id_ = self.turns.popleft()
            if self.seen[id_].state in UNFINISHED:
                self.turns.append(id_)
                yield id_

    def look(self, ids: Iterable[str], running: Collection[str], elsewhere: Collection[str]) -> None:
        for id_ in ids:
            found = self.status_of(self.runs[id_], running, elsewhere)
            self.seen[id_], self.rows[id_] = found, found.line()

    def status_of(self, run: PlannedRun, running: Collection[str], elsewhere: Collection[str]) -> RunStatus:
        before = self.seen.get(run.id)
        if before is not None and before.state not in UNFINISHED:
            return before
        planned = Planned(run.id, self.plan.study.name, run.arm, run.seed)
        found = status_of(self.store, planned, self.steps[run.id], run.id in running or run.id in elsewhere)
        away = found.state == "running" and run.id in elsewhere
        return replace(found, state="elsewhere") if away else found

    def spent(self) -> str:
        """Hours of training in all runs of the plan, by `lines` as it was called last."""
        return hours(self.seen.values())
