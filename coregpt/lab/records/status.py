"""What runs are doing, from disk only: any process that sees the folder can tell, on any machine."""

import difflib
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from coregpt.contract.errors import ConfigError
from coregpt.engine.training.outcome import SELECT
from coregpt.lab.progress import Line
from coregpt.lab.records.claims import claimed
from coregpt.lab.records.history import DECLARING
from coregpt.lab.records.ledger import Entry
from coregpt.lab.records.store import Row, RunFolder
from coregpt.lab.study.kind import UNCOUNTED
from coregpt.lab.study.part import TRUNK, RunPart
from coregpt.lab.study.registry import nearest

STATES = {"finished": "done"}
"""How a result's status is told where the table has another word."""
UNFINISHED = ("waiting", "running", "elsewhere", "paused", "stopped", "FAILED")
SHORTEST_ID = 4


@dataclass(frozen=True)
class Planned:
    """A run of a study, by the ledger."""

    id: str
    study: str
    arm: str
    seed: int


@dataclass(frozen=True)
class RunStatus:
    """One run as it stands on disk."""

    planned: Planned
    state: str
    """waiting, running, paused (where its study wanted it), stopped (goes on with the next call), FAILED, done,
    or how else its result says it ended."""
    device: str = ""
    step: int = 0
    steps: int | None = None
    share: float = 0.0
    loss: float | None = None
    value: float | None = None
    """Final loss on `select`: whoever looks on may choose by what he sees."""
    speed: float | None = None
    """Tokens per second of training so far."""
    seconds: float = 0.0
    """Of training, its own part only."""
    ranks: int = 1
    age: float | None = None
    """Seconds since it last wrote something; None if it never did."""
    note: str = ""
    """Why it failed or diverged."""

    @property
    def left(self) -> float | None:
        return self.seconds * (1 - self.share) / self.share if self.share > 0 else None

    def line(self) -> Line:
        loss = self.loss if self.value is None else self.value
        run = self.planned
        return Line(run.arm, run.seed, self.state, self.step, self.steps, self.share, loss, self.speed, self.left)


def status_of(store: Path, run: Planned, steps: int | None = None, running: bool | None = None) -> RunStatus:
    """Look at one run. `running` saves the look at its claim where the caller knows who has it."""
    folder = RunFolder(store / run.id)
    if not (folder.path / "config.json").exists():
        return RunStatus(run, "waiting", steps=steps)
    config, result, newest = folder.config(), folder.result(), folder.newest()
    error = folder.error()
    if result is not None:
        state = STATES.get(result["status"], result["status"])
    elif claimed(folder) if running is None else running:
        state = "running"
    elif error:
        state = "FAILED"
    else:
        state = "paused" if _paused(folder, newest) else "stopped" if newest else "waiting"
    tokens, seconds = newest.get("tokens", 0), newest.get("seconds", 0.0)
    steps = RunPart.of(config).until or steps
    step = int(newest.get("step", 0))
    steps = None if steps == UNCOUNTED else steps
    share = step / steps if steps else tokens / config["config"].get("tokens", math.inf)
    loss = newest.get("loss", newest.get(SELECT))
    own = seconds - _shared(store, config) if newest else 0.0
    return RunStatus(
        run,
        state,
        device=config["config"]["device"],
        step=step,
        steps=steps,
        share=1.0 if state == "done" else min(share, 1.0),
        loss=None if loss is None else float(loss),
        value=None if result is None else result.get("select"),
        speed=tokens / seconds if seconds else None,
        seconds=own if result is None else result.get("train_seconds", own),
        ranks=int(folder.environment().get("ranks", "1")),
        age=_age(folder),
        note=str((result or error or {"reason": ""}).get("reason") or (error or {}).get("message", "")),
    )


def _paused(folder: RunFolder, newest: Row) -> bool:
    """Whether it stands where its study wanted it, also if nobody needs its checkpoint any more."""
    asked = folder.pause_asked()
    return asked > 0 and (folder.checkpoint.exists() or newest.get("step") == asked)


def _shared(store: Path, config: Mapping[str, object]) -> float:
    """Seconds that a branch's log has from its trunk."""
    trunk = RunPart.of(config).trunk
    return float(RunFolder(store / trunk).newest().get("seconds", 0)) if trunk else 0.0


def _age(folder: RunFolder) -> float | None:
    paths = (folder.metrics, folder.log, folder.path / "result.json", folder.path / "error.json")
    written = [path.stat().st_mtime for path in paths if path.exists()]
    return max(0.0, time.time() - max(written)) if written else None


def hours(glances: Iterable[RunStatus]) -> str:
    """`0.52 CPU h`: what training has taken so far; a run on several GPUs counts for each."""
    found = list(glances)
    spent = sum(each.seconds * each.ranks for each in found) / 3600
    return f"{spent:.2g} {'GPU' if any(each.device == 'cuda' for each in found) else 'CPU'} h"


def remaining(glances: Sequence[RunStatus]) -> float | None:
    """Seconds until all are complete, with as many at a time as run now; None if none runs or nothing is known.

    A run that has not begun is taken to need what others of its arm, or else of the study, come to.
    """
    at_once = sum(each.state == "running" for each in glances)
    known = [each for each in glances if each.share > 0 and each.seconds > 0]
    if not at_once or not known:
        return None

    def whole(arm: str) -> float:
        same = [each for each in known if each.planned.arm == arm] or known
        return fmean(each.seconds / each.share for each in same)

    return sum((1 - each.share) * whole(each.planned.arm) for each in glances if each.state in UNFINISHED) / at_once


# -- which runs there are --------------------------------------------------------------------------------------


def latest(entries: Iterable[Entry]) -> dict[str, Entry]:
    """By study: its newest declaration."""
    return {entry["study"]: entry for entry in entries if entry.event in DECLARING}


def runs_of(declared: Entry, store: Path) -> list[Planned]:
    """The runs of a declaration, after the trunks that they begin with."""
    runs = [Planned(run, declared["study"], arm, seed) for run, arm, seed in declared["runs"]]
    if declared.payload.get("as_needed"):  # results decide which; nobody waits for the others
        runs = [run for run in runs if (store / run.id).is_dir()]
    trunks = {trunk: Planned(trunk, run.study, TRUNK, run.seed) for run in runs if (trunk := trunk_id(store, run.id))}
    return [*trunks.values(), *runs]


def trunk_id(store: Path, run: str) -> str:
    """What a run begins with, if it is a branch whose folder is there; "" for any other."""
    folder = RunFolder(store / run)
    return RunPart.of(folder.config()).trunk if (folder.path / "config.json").exists() else ""


def stored(store: Path) -> Iterator[str]:
    """Ids of all run folders, sorted."""
    return (path.parent.name for path in sorted(store.glob("*/config.json")))


def everything(entries: Sequence[Entry], store: Path) -> list[Planned]:
    """Every run folder; one that several studies share belongs to the first that declared it."""
    known: dict[str, Planned] = {}
    for entry in entries:
        for run in runs_of(entry, store) if entry.event in DECLARING else []:
            known.setdefault(run.id, run)
    return [known.get(id_) or _undeclared(store, id_) for id_ in stored(store)]


def _undeclared(store: Path, id_: str) -> Planned:
    config = RunFolder(store / id_).config()
    study = (config.get("planned_by") or {"study": ""})["study"]
    return Planned(id_, study, TRUNK if RunPart.of(config).is_trunk else "", config["config"]["seed"])


def study_named(declared: Mapping[str, Entry], name: str, where: Path) -> Entry:
    """Raises ConfigError with the nearest name."""
    if name not in declared:
        raise ConfigError(f"{where}: no study '{name}' was declared here{nearest(name, declared)}")
    return declared[name]


def find(entries: Sequence[Entry], store: Path, name: str, study: str | None = None) -> Planned:
    """A run by its id, by the beginning of it, or by `arm/seed` of a study. Raises ConfigError."""
    if "/" in name:
        return _by_cell(entries, store, name, study)
    runs = {run.id: run for run in everything(entries, store)}
    fitting = [id_ for id_ in runs if id_.startswith(name)] if len(name) >= SHORTEST_ID or name in runs else []
    if name in runs or len(fitting) == 1:
        return runs[name if name in runs else fitting[0]]
    if fitting:
        raise ConfigError(f"{store}: '{name}' is the beginning of {len(fitting)} runs: {', '.join(fitting[:4])}")
    close = difflib.get_close_matches(name, runs, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"give {SHORTEST_ID} characters or more; coregpt ls lists them"
    raise ConfigError(f"{store}: there is no run '{name}'; {hint}")


def _by_cell(entries: Sequence[Entry], store: Path, name: str, study: str | None) -> Planned:
    declared = latest(entries)
    if study is None and len(declared) != 1:
        raise ConfigError(f"'{name}': say of which study with --study{nearest('', declared)}")
    entry = study_named(declared, Path(study).stem if study else next(iter(declared)), store)
    cells = {f"{run.arm}/{run.seed}": run for run in runs_of(entry, store)}
    if name not in cells:
        raise ConfigError(f"{entry['study']} has no run '{name}'{nearest(name, cells)}")
    return cells[name]
