"""What the launcher's table shows: every run of a plan, those of other processes included, read from their files."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from coregpt.lab.progress import Line
from coregpt.lab.runs import UNFINISHED, Glance, Planned, glance, hours
from coregpt.lab.study import Plan


class Board:
    """Looks again at what can still change."""

    def __init__(self, plan: Plan, store: Path):
        self.plan, self.store = plan, store
        self.seen: dict[str, Glance] = {}
        """By run id, in the order of the table: trunks of a fork first."""

    def lines(self, running: Collection[str], elsewhere: Collection[str]) -> list[Line]:
        """The table's rows now; `running` and `elsewhere` are the runs that this and other processes execute."""
        for run in (*self.plan.trunks, *self.plan.runs):
            if run.id not in self.seen or self.seen[run.id].state in UNFINISHED:
                planned = Planned(run.id, self.plan.study.name, run.arm, run.seed)
                steps = self.plan.cost(run.arm).steps
                found = glance(self.store, planned, steps, run.id in running or run.id in elsewhere)
                away = found.state == "running" and run.id in elsewhere
                self.seen[run.id] = replace(found, state="elsewhere") if away else found
        return [each.line() for each in self.seen.values()]

    def spent(self) -> str:
        """Hours of training in all runs of the plan, by `lines` as it was called last."""
        return hours(self.seen.values())
