"""What can be deleted from a folder of runs without losing anything that a study, or its continuation, needs."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import read_json
from coregpt.lab.records.claims import claim, claimed
from coregpt.lab.records.history import DECLARING
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.records.older import superseded_runs
from coregpt.lab.records.status import latest, stored, trunk_id
from coregpt.lab.records.store import CLONE, PROBE, RunFolder
from coregpt.lab.study.part import WEIGHTS, RunPart, given_runs

PARTIAL = ("*.part", ".*.*.*")
"""Files that were being written when their process died."""


@dataclass(frozen=True)
class Waste:
    """A file or folder that nothing needs."""

    path: Path
    run: str
    why: str

    @property
    def size(self) -> int:
        """Bytes."""
        files = [self.path] if self.path.is_file() else [path for path in self.path.rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files)


def waste(store: Path, weights: bool = False) -> list[Waste]:
    """With `weights`, also the final weights of runs whose numbers are needed, unless a run is given them as an input.

    Raises LedgerError for a broken ledger and ConfigError if there is none: it says what is needed.
    """
    entries = Ledger.of(store).read()
    if not entries:
        raise ConfigError(f"{store}: there is no ledger, so nothing says which runs are needed")
    declared = {run for entry in entries if entry.event in DECLARING for run, *_ in entry["runs"]}
    needed = declared | {trunk_id(store, run) for run in declared} | _of_noise(store)
    given = _given_to(store, needed)
    needed |= given
    free = [run for run in stored(store) if not claimed(RunFolder(store / run))]
    ended = Ended(declared, _given_up(entries), superseded_runs(entries) - given - _of_noise(store))
    left = [found for run in free for found in _of_run(store, run, run in needed, ended)]
    if weights:
        left += [found for run in free if run in needed - given for found in _weights_of(store, run)]
    return [*left, *_probes(store)]


def _given_to(store: Path, runs: Iterable[str]) -> set[str]:
    """Runs whose weights the given ones have as inputs, directly or through each other."""
    found, waiting = set[str](), list(runs)
    while waiting:
        folder = RunFolder(store / waiting.pop())
        if (folder.path / "config.json").exists():
            new = given_runs(folder.config()) - found
            found |= new
            waiting += new
    return found


def _weights_of(store: Path, run: str) -> Iterator[Waste]:
    folder = RunFolder(store / run)
    if folder.weights.exists() and folder.result() is not None:
        yield Waste(folder.weights, run, "final weights; coregpt rerun makes them again")


def _probes(store: Path) -> Iterator[Waste]:
    """What a launcher that was killed while it measured left behind."""
    for path in sorted(store.glob(f"{PROBE}*")):
        if not claimed(RunFolder(path)):
            yield Waste(path, path.name, "left by a measurement")


def _given_up(entries: Sequence[Entry]) -> set[str]:
    """Runs of arms that were aborted, by every study that has them: nothing goes on from their checkpoints.

    A decision speaks of the runs that were declared before it; later ones may have been planned with other code.
    """
    ended, open_ = set[str](), set[str]()
    for study, declared in latest(entries).items():
        facts = {"study": study, "digest": declared["digest"], "decision": "aborted"}
        later = [entry for entry in entries if entry.event == "looked" and entry.n > declared.n]
        arms = {entry["arm"] for entry in later if all(entry[key] == value for key, value in facts.items())}
        for run, arm, _ in declared["runs"]:
            (ended if arm in arms else open_).add(run)
    return ended - open_


def _of_noise(store: Path) -> set[str]:
    """Runs that `coregpt noise` recorded a result from."""
    records = [read_json(path) or {} for path in store.glob("noise/*.json")]
    return {str(run) for record in records for run in record.get("run_ids", ())}


@dataclass(frozen=True)
class Ended:
    """What no study will go on with."""

    declared: set[str]
    """All runs that were ever declared."""
    given_up: set[str]
    superseded: set[str]
    """Runs that another has taken the place of."""


def _of_run(store: Path, run: str, needed: bool, ended: Ended) -> Iterator[Waste]:
    folder = RunFolder(store / run)
    if not needed:
        also = ", its final weights neither" if folder.weights.exists() else ""
        yield Waste(folder.path, run, f"no declared study uses it{also}")
        return
    yield from (Waste(path, run, "weights of an earlier execution") for path in _earlier(folder))
    if folder.checkpoint.exists() and (why := _over(store, folder, ended)):
        yield Waste(folder.checkpoint, run, f"checkpoint of a {why}")
    if folder.clone.is_symlink() and folder.result() is not None:
        yield Waste(folder.clone, run, "clone in which a program ran; every run has its own")
    for pattern in PARTIAL:
        yield from (Waste(path, run, "half-written") for path in sorted(folder.path.glob(pattern)))


def _earlier(folder: RunFolder) -> list[Path]:
    return sorted(folder.path.glob(f"attempts/*/{WEIGHTS}"))


def _over(store: Path, folder: RunFolder, ended: Ended) -> str:
    """Why nothing will go on from its checkpoint, or ""; a trunk's is needed until all of its branches have ended."""
    if folder.result() is not None:
        return "complete run"
    if folder.id in ended.given_up:
        return "run that its study will not finish"
    if folder.id in ended.superseded:
        return "run of an older identity, that another has taken the place of"
    if not RunPart.of(folder.config()).is_trunk:
        return ""
    branches = [run for run in ended.declared if trunk_id(store, run) == folder.id]
    over = all(run in ended.superseded or RunFolder(store / run).result() is not None for run in branches)
    return "complete run" if branches and over else ""


def delete(found: Waste) -> bool:
    """False if a process has taken up the run meanwhile: then it stays."""
    inside = next((place for place in (found.path, *found.path.parents) if place.name == found.run), found.path)
    held = claim(RunFolder(inside))
    if held is None:
        return False
    try:
        for link in (found.path, found.path / CLONE):
            if link.is_symlink():
                shutil.rmtree(link.resolve(), ignore_errors=True)
                link.unlink()
        if not os.path.lexists(found.path):
            return True
        if found.path.is_file():
            found.path.unlink()
        else:
            shutil.rmtree(found.path)
    finally:
        held.release()
    return True
