"""`coregpt status`, `ls` and `logs`: what runs are doing and have done, read from disk, while they run or later."""

import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from coregpt.cli.programs import answer
from coregpt.cli.screen import say, table
from coregpt.contract.errors import ConfigError
from coregpt.engine.training.outcome import SELECT
from coregpt.lab import progress
from coregpt.lab.progress import duration
from coregpt.lab.records.claims import holder
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.records.older import moved_runs, older_of, older_runs
from coregpt.lab.records.status import (
    Planned,
    RunStatus,
    everything,
    find,
    hours,
    latest,
    remaining,
    runs_of,
    status_of,
    study_named,
)
from coregpt.lab.records.store import RunFolder

LOG_LINES = 4
POLL_SECONDS = 0.5
UNLIMITED = 1 << 30
FIRST = "settings are found first, or no run is there yet"
"""Rows of a table that is not drawn on a terminal."""


def status(study: str | None, scale: str | None, store: Path) -> int:
    """One study's runs, or every study of the ledger in one line each."""
    declared = latest(entries_of(store))
    if study is None:
        rows = [("study", "done", "runs", "training", "last sign")]
        rows += [_overview(entry, store) for entry in declared.values()]
        for row in table(rows):
            say(row)
        for entry in declared.values():
            answer("study", _study_data(entry, store, runs=False))
        return 0
    name = Path(study).stem + (f"-{scale}" if scale else "")
    entry = study_named(declared, name, store)
    _tell(entry, store)
    answer("study", _study_data(entry, store, runs=True))
    return 0


def entries_of(store: Path) -> list[Entry]:
    """The ledger. Raises ConfigError if there is none."""
    entries = Ledger.of(store).read()
    if not entries:
        raise ConfigError(f"{store}: there is no ledger; coregpt ablate writes one, --runs says where")
    return entries


def _looked(entry: Entry, store: Path) -> list[RunStatus]:
    return [status_of(store, run) for run in runs_of(entry, store)]


def _overview(entry: Entry, store: Path) -> tuple[str, str, str, str, str]:
    found = _looked(entry, store)
    if not found:
        return entry["study"], "", FIRST, "", ""
    states = Counter(each.state for each in found)
    ages = [each.age for each in found if each.age is not None]
    last = f"{duration(min(ages))} ago" if ages else "never"
    words = ", ".join(f"{number} {state}" for state, number in states.items())
    older = len(moved_runs(entry) & {each.planned.id for each in found if each.state != "waiting"})
    words += f" ({older} older)" if older else ""
    return entry["study"], f"{sum(each.share for each in found) / len(found):.0%}", words, hours(found), last


def _tell(entry: Entry, store: Path) -> None:
    found = _looked(entry, store)
    if not found:
        say(f"{entry['study']}: {FIRST}")
        return
    width, height = shutil.get_terminal_size() if sys.stdout.isatty() else (UNLIMITED, UNLIMITED)
    for line in progress.table([each.line() for each in found], width, max(height - 4, 2)):
        say(line)
    done = sum(each.value is not None or each.share == 1 for each in found)
    left = remaining(found)
    say(
        f"{entry['study']}: {done} of {len(found)} runs done"
        + (f", about {duration(left)} left" if left is not None else "")
        + f", {hours(found)} so far"
    )
    for line in older_of(Ledger.of(store).read(), entry):
        say(line)
    for each in found:
        if each.state in ("running", "stopped") and (who := holder(RunFolder(store / each.planned.id))):
            say(f"{_name(each)}: {'held by' if each.state == 'running' else 'left by'} {who}, {_sign(each)}")
    for each in found:
        if each.state == "FAILED":
            say(f"FAILED {_name(each)}: {each.note}")
            for text in RunFolder(store / each.planned.id).log_tail(LOG_LINES).splitlines():
                say(f"  | {text}")


def _name(found: RunStatus) -> str:
    return f"{found.planned.arm} seed {found.planned.seed}"


def _sign(found: RunStatus) -> str:
    return "it has written nothing yet" if found.age is None else f"last sign {duration(found.age)} ago"


def list_runs(study: str | None, store: Path, as_json: bool) -> int:
    """Every run folder, or those of one study; `as_json` for programs."""
    found = [status_of(store, run) for run in _wanted(study, store)]
    older = older_runs(Ledger.of(store).read())
    if as_json:
        say(json.dumps([_as_data(each, each.planned.id in older) for each in found], indent=1))
        return 0
    rows = [("id", "study", "arm", "seed", "state", SELECT, "step", "training", "last sign")]
    rows += [
        (
            each.planned.id,
            each.planned.study,
            each.planned.arm,
            str(each.planned.seed),
            each.state + (", older" if each.planned.id in older else ""),
            "" if each.value is None else f"{each.value:.4f}",
            str(each.step),
            duration(each.seconds),
            "" if each.age is None else f"{duration(each.age)} ago",
        )
        for each in found
    ]
    for row in table(rows):
        say(row)
    return 0


def _wanted(study: str | None, store: Path) -> list[Planned]:
    entries = Ledger.of(store).read()
    if study is None:
        return everything(entries, store)
    runs = runs_of(study_named(latest(entries), Path(study).stem, store), store)
    return [run for run in runs if (store / run.id / "config.json").exists()]


def _study_data(entry: Entry, store: Path, runs: bool) -> dict[str, object]:
    """A declared study for programs, with every run of it or with their numbers by state."""
    looked = _looked(entry, store)
    older = older_runs(Ledger.of(store).read()) if runs else set()
    return {
        "study": entry["study"],
        "digest": entry["digest"],
        "declared": entry.time,
        "states": dict(Counter(each.state for each in looked)),
        "share": sum(each.share for each in looked) / len(looked) if looked else 0.0,
        "seconds": sum(each.seconds * each.ranks for each in looked),
        "seconds_left": remaining(looked),
        **({"runs": [_as_data(each, each.planned.id in older) for each in looked]} if runs else {}),
    }


def _as_data(found: RunStatus, older: bool) -> dict[str, object]:
    run = found.planned
    return {
        "id": run.id,
        "study": run.study,
        "arm": run.arm,
        "seed": run.seed,
        "state": found.state,
        "older": older,
        SELECT: found.value,
        "reason": found.note,
        "step": found.step,
        "seconds": found.seconds,
        "age_seconds": None if found.age is None else round(found.age, 1),
    }


def logs(name: str, study: str | None, store: Path, follow: bool) -> int:
    """Print what a run printed; `follow` goes on until it is complete or failed."""
    entries = Ledger.of(store).read()
    run = find(entries, store, name, study)
    folder = RunFolder(store / run.id)
    shown = _print_from(folder, 0)
    while follow and status_of(store, run).state in ("waiting", "running", "paused", "stopped"):
        time.sleep(POLL_SECONDS)
        shown = _print_from(folder, shown)
    shown = _print_from(folder, shown)
    if not shown:
        found = status_of(store, run)
        loss = "" if found.loss is None else f", loss {found.loss:.4f}"
        say(f"{name} has printed nothing; it is {found.state} at step {found.step}{loss}")
    return 0


def _print_from(folder: RunFolder, at: int) -> int:
    """Print the log from a byte on; returns where it ends now. A log that began anew is printed from its start."""
    try:
        raw = folder.log.read_bytes()
    except FileNotFoundError:
        return 0
    at = at if at <= len(raw) else 0
    sys.stdout.write(raw[at:].decode(errors="replace"))
    sys.stdout.flush()
    return len(raw)
