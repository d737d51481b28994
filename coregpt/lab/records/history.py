"""What the ledger says about one study: how it was declared, what was known then, every run ever started for it."""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from coregpt.lab.records.amendment import WATCHED, amendments, told
from coregpt.lab.records.ledger import Entry
from coregpt.lab.study.identity import READ_OR_ROUNDED

DECLARING = ("declared", "amended", "replanned")
COMPLETING = ("ended", "found")
Status = Literal["finished", "diverged", "failed", "unfinished"]


@dataclass(frozen=True)
class Past:
    """One run as the ledger knows it."""

    id: str
    arm: str
    seed: int
    status: Status
    """finished, diverged, failed, or unfinished: started, and nothing heard of it since."""
    value: float | None
    """Final loss on `held_out`."""
    select: float | None
    """The same on `select`; None also where an older version recorded no such stream."""
    first_started: str
    """UTC; empty if it was found complete."""
    attempts: int
    results: tuple[str, ...] = ()
    """Every different result it ever had, the oldest first; one, unless it cannot be reproduced."""

    @property
    def contradiction(self) -> str:
        """How executions of the run disagree; empty if they do not. Nobody may choose between two results."""
        return f"not reproducible: {' then '.join(self.results)}" if len(self.results) > 1 else ""


class History:
    """The events that concern one study."""

    def __init__(self, entries: Iterable[Entry], study: str):
        self.entries = list(entries)
        self.declared = [e for e in self.entries if e.event in DECLARING and e["study"] == study]
        self.study = study
        self.cells: dict[str, tuple[str, int]] = {
            run: (arm, seed) for entry in self.declared for run, arm, seed in entry["runs"]
        }
        """Arm and seed of every run id that was ever planned."""
        self.events: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.event in ("started", "failed", "rerun", *COMPLETING) and entry["run"] in self.cells:
                self.events.setdefault(entry["run"], []).append(entry)

    def runs(self) -> list[Past]:
        """Every planned run that was ever started, or found complete, in the order in which they were planned."""
        return [self._past(run) for run in self.cells if run in self.events]

    def _past(self, run: str) -> Past:
        arm, seed = self.cells[run]
        events = self.events[run]
        starts = [entry for entry in events if entry.event == "started"]
        complete = [entry for entry in events if entry.event in COMPLETING]
        if complete:
            status: Status = complete[-1]["status"]
            value, select = complete[-1]["value"], complete[-1].get("select")
        else:
            status, value, select = ("failed" if events[-1].event == "failed" else "unfinished"), None, None
        told = [entry for entry in events if entry.event in (*COMPLETING, "rerun") and entry.get("status")]
        results = tuple(dict.fromkeys(f"{entry['status']} {entry['value']}" for entry in told))
        return Past(run, arm, seed, status, value, select, starts[0].time if starts else "", len(starts), results)

    def superseded(self, planned: dict[str, tuple[str, int]]) -> list[tuple[Past, str]]:
        """Runs that were started and are planned no longer, with the id that took their place, or ""."""
        successors = {cell: run for run, cell in planned.items()}
        return [(past, successors.get((past.arm, past.seed), "")) for past in self.runs() if past.id not in planned]

    def exploratory(self) -> str:
        """Why the study's verdicts are not confirmatory; empty if they are."""
        reasons = [
            *self._known_before(),
            *self._chosen(),
            *self._foreign(),
            *self._tuned_again(),
            *self._tuned_on_test(),
        ]
        for before, after in itertools.pairwise(self.declared):
            reasons += self._amended(before, after)
            reasons += self._edited(before, after)
        return "; ".join(dict.fromkeys(reasons))

    def known_when_watched(self) -> int:
        """How many runs were complete when what is watched was declared as it is now, of the baseline and of others.

        0 where those of one side only were, which say nothing of a difference.
        """
        if not self.declared:
            return 0
        now = self.declared[-1]["declaration"]
        same = itertools.takewhile(
            lambda entry: entry["declaration"].get(WATCHED) == now.get(WATCHED), reversed(self.declared)
        )
        known = self._complete_before(list(same)[-1].n, self.cells)
        arms = {self.cells[run][0] for run in known}
        return len(known) if now["test"]["baseline"] in arms and len(arms) > 1 else 0

    def _complete_before(self, n: int, runs: Collection[str]) -> set[str]:
        return {run for run in runs for e in self.events.get(run, ()) if e.event in COMPLETING and e.n < n}

    def _known_before(self) -> list[str]:
        """Results of both sides of a comparison were there when the study was first declared."""
        if not self.declared:
            return []
        first = self.declared[0]
        planned = [run for run, *_ in first["runs"]] or self.cells  # none yet where settings were still to be found
        known = {run: self.cells[run] for run in self._complete_before(first.n, planned)}
        alike = self._alike_before(first)
        earlier = {run: (arm, seed) for run, arm, seed in first.get("earlier") or ()}
        arms = {arm for arm, _ in (*known.values(), *alike.values(), *earlier.values())}
        baseline = first["declaration"]["test"]["baseline"]
        if baseline not in arms or len(arms) < 2:
            return []
        runs = f"{_runs(len(known) + len(alike) + len(earlier))} of it, of the baseline and of other arms,"
        hows = [f"{len(alike)} of them with other {', '.join(sorted(READ_OR_ROUNDED))}"] if alike else []
        hows += [f"{len(earlier)} of them by another version of the engine"] if earlier else []
        how = f" ({'; '.join(hows)})" if hows else ""
        return [f"declared when {runs} were complete{how}"]

    def _alike_before(self, first: Entry) -> dict[str, tuple[str, int]]:
        """Arm and seed of runs of other studies that trained what runs of this one do, and had results before it."""
        complete = {e["run"] for e in self.entries if e.event in COMPLETING and e.n < first.n}
        told = [(entry, each) for entry in self.declared for each in entry.get("alike") or ()]
        return {run: (arm, seed) for entry, (run, arm, seed) in told if entry is first or run in complete}

    def _chosen(self) -> list[str]:
        """Seeds that were listed by hand when results of the baseline with them, and with others, were known."""
        found = next((entry["by_hand"] for entry in self.declared if entry.get("by_hand")), None)
        if found is None:
            return []
        number = len(found["seeds"])
        seeds = f"1 seed ({found['seeds'][0]})" if number == 1 else f"{number} seeds ({_shown(found['seeds'])})"
        return [
            f"{seeds} listed by hand when the baseline's results with them were known, and "
            f"{_others(len(found['left']))} known too, left out"
        ]

    def _foreign(self) -> list[str]:
        """Complete runs that appeared after the declaration without being started under this ledger."""
        if not self.declared:
            return []
        first = self.declared[0].n
        found = [run for run, events in self.events.items() if any(e.event == "found" and e.n > first for e in events)]
        return [f"{_runs(len(found))} came from elsewhere, not started under this ledger"] if found else []

    def _tuned_again(self) -> list[str]:
        """Settings found by tuning that changed when runs with them had started."""
        frozen = [entry for entry in self.entries if entry.event == "frozen" and entry["study"] == self.study]
        reasons = []
        for before, after in itertools.pairwise(frozen):
            started = self._started_between(frozen[0].n, after.n)
            if started and before["settings"] != after["settings"]:
                what = told(before["settings"], after["settings"])
                reasons.append(f"tuned again after {_runs(len(started))} had started: {what}")
        return reasons

    def _tuned_on_test(self) -> list[str]:
        """Seeds by which settings were chosen under any declaration, and which a test had under any."""
        designs = (
            value
            for entry in self.declared
            for key, value in entry["declaration"].items()
            if key != "arms" and isinstance(value, dict)
        )
        tuning = {seed for each in designs for seed in each.get("seeds", ())}
        both = sorted(tuning & {seed for _, seed in self.cells.values()})
        return [f"settings were chosen by seeds of the test: {', '.join(map(str, both))}"] if both else []

    def _started_between(self, first: int, last: int) -> set[str]:
        return {
            run
            for run, events in self.events.items()
            if any(e.event == "started" and e["study"] == self.study and first < e.n < last for e in events)
        }

    def _amended(self, before: Entry, after: Entry) -> list[str]:
        started = self._started_between(self.declared[0].n, after.n)
        old, new = before["declaration"], after["declaration"]
        unsaid = before.get("unsaid") or {}, after.get("unsaid") or {}
        keys = amendments(old, new, before["code"]["data"] == after["code"]["data"], unsaid)
        if not keys or not started:
            return []
        what = told(old, new, keys)
        more = set(after["declaration"]["seeds"]) - set(before["declaration"]["seeds"])
        hint = "; a study that may go on until it is decided declares looks: or anytime: beforehand" if more else ""
        return [f"amended after {_runs(len(started))} had started: {what}{hint}"]

    def _edited(self, before: Entry, after: Entry) -> list[str]:
        """A technique whose code changed after results of it could be seen was tuned on the test's seeds.

        Unless it was not: if every one of those results came out again, to the last digit, nothing was changed in it.
        """
        reasons = []
        old, new = before["code"]["plugins"], after["code"]["plugins"]
        arms = before["declaration"]["arms"]
        for name in sorted(old.keys() & new.keys()):
            using = [run for run, arm, _ in before["runs"] if name in arms[arm]["plugins"]]
            complete = self._complete_before(after.n, using)
            otherwise, missing = self._repeated(complete)
            if old[name] != new[name] and otherwise + missing:
                reason = f"the code of plugin {name} changed when {_runs(len(complete))} with it had results"
                reasons.append(f"{reason}; {self._came_out(otherwise, missing)}")
        return reasons

    def _repeated(self, runs: Iterable[str]) -> tuple[int, int]:
        """Of complete runs: how many came out otherwise as declared last, and how many have no result there."""
        now = {(arm, seed): run for run, arm, seed in self.declared[-1]["runs"]}
        otherwise = missing = 0
        for run in runs:
            again = now.get(self.cells[run])
            results = self._past(again).results if again in self.events else ()
            missing += not results
            otherwise += bool(results) and set(results) != set(self._past(run).results)
        return otherwise, missing

    @staticmethod
    def _came_out(otherwise: int, missing: int) -> str:
        parts = [f"{_runs(otherwise)} came out otherwise"] if otherwise else []
        return " and ".join([*parts, *([f"{_runs(missing)} not repeated"] if missing else [])])


def _others(number: int) -> str:
    return "1 other, whose result was" if number == 1 else f"{number} others, whose results were"


def _shown(seeds: list[int], most: int = 8) -> str:
    text = ", ".join(map(str, seeds[:most]))
    return f"{text} and {len(seeds) - most} more" if len(seeds) > most else text


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
