"""Executing a run again from its first step, with what it had before kept aside and the ledger told.

A run that has a result must come to the same one: the ledger keeps both, and where they differ the run counts no
longer. So a run executed again can confirm a result or destroy it, and never replace it.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.engine.data import open_source
from coregpt.engine.training.world import World
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.signals import POLL_SECONDS, caught_signals
from coregpt.lab.execute.slots import Slot
from coregpt.lab.execute.worker import environment, refuse_if_moved
from coregpt.lab.kinds import config_of
from coregpt.lab.records.claims import claim
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.losses import outcome
from coregpt.lab.records.status import Planned
from coregpt.lab.records.store import CLONE, RunFolder
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.part import RunPart

KEPT = ("config.json", "plugins", "claim", "memory.json", "attempts", CLONE)
"""What a run starts with again; everything else moves to attempts/N/."""
SAME = ("torch", "numpy", "device", "processor")
"""Of a run's environment: what must be as it was for equal numbers to be expected."""


def prepare(store: Path, run: Planned, on_cluster: bool = False) -> RunFolder:
    """The folder of a run that can be executed again. Raises CoreGPTError if it cannot, and changes nothing."""
    folder = RunFolder(store / run.id)
    record = folder.config()
    part = RunPart.of(record)
    if part.is_trunk:
        raise ConfigError(f"{run.id} is a trunk, which has no result of its own; name one of its branches")
    config = config_of(record)
    if (kind := foreign(config)) is not None:
        kind.refuse_moved()
        if folder.result() is not None:
            kind.refuse_again(folder.path)
        return folder
    catalogue = folder.catalogue([store])
    refuse_if_moved(folder, config, catalogue, open_source(config.data.source))
    inputs_of(config, catalogue)
    if part.trunk:
        trunk = RunFolder(store / part.trunk)
        if trunk.result() is None and trunk.paused() < part.begin:
            raise ConfigError(f"the checkpoint of {trunk.id}, with which {run.id} began, is not there any more")
    refuse_elsewhere(folder, config, on_cluster)
    return folder


def refuse_elsewhere(folder: RunFolder, config: RunConfig, on_cluster: bool = False) -> None:
    """Raises ConfigError for a run whose result would not come out again here."""
    if folder.result() is None:
        return
    if on_cluster and config.device == "cuda":
        raise ConfigError(
            f"run {folder.id} has a result that was computed on {folder.environment().get('device', 'a GPU')}. Which "
            "GPU a job gets is known too late, and another one would make the run count no longer: call the command "
            "without --on slurm on a node that has the same, inside of a job"
        )
    if moved := elsewhere(folder, config):
        raise ConfigError(
            f"run {folder.id} has a result that was computed with {'; '.join(moved)}. Rounding alone would give "
            "another number, and a run with two different results counts no longer"
        )


def elsewhere(folder: RunFolder, config: RunConfig) -> list[str]:
    """`torch 2.8, here 2.9` for each part of the environment that is not what it was."""
    here = environment(config, World())
    before = folder.environment()
    return [f"{key} {before[key]}, here {here[key]}" for key in SAME if before.get(key, here[key]) != here[key]]


def set_aside(folder: RunFolder) -> Path:
    """Move what the last execution left to attempts/N/, its checkpoint excepted, which is deleted."""
    kept = folder.path / "attempts"
    kept.mkdir(exist_ok=True)
    numbers = [int(path.name) for path in kept.iterdir() if path.name.isdigit()]
    attempt = kept / str(max(numbers, default=0) + 1)
    attempt.mkdir()
    folder.checkpoint.unlink(missing_ok=True)
    # The result goes first: without it the run counts as incomplete, whatever happens between two moves.
    names = sorted((path.name for path in folder.path.iterdir()), key=lambda name: (name != "result.json", name))
    for name in names:
        if name not in KEPT:
            os.replace(folder.path / name, attempt / name)
    return attempt


def start_over(folder: RunFolder, known: Mapping[str, Any], reason: str, ledger: Ledger) -> None:
    """Set aside what a claimed run has, on record with its result; `known` is what the ledger calls it."""
    had = folder.result()
    ledger.append("rerun", **known, reason=reason, **({} if had is None else outcome(had)))
    set_aside(folder)


def again(folder: RunFolder, run: Planned, reason: str, ledger: Ledger, slot: Slot, machine: Executor) -> bool:
    """Set aside what there is and train anew, all of it on record; False if it was interrupted.

    The new execution leaves weights, also if the first was not to: that is how they are had later.
    Raises ConfigError before anything is changed if another process has the run.
    """
    held = claim(folder)
    if held is None:
        raise ConfigError(f"run {folder.id} is being executed by another process; wait for its end")
    known = {"study": run.study, "run": run.id, "arm": run.arm, "seed": run.seed}
    start_over(folder, known, reason, ledger)
    folder.keep_weights()
    ledger.append("started", **known)
    child = machine.begin(slot, folder, None, held)
    held.release()
    with caught_signals() as signals:
        while (code := child.poll()) is None:
            if signals.count:
                child.signal(signal.SIGTERM)
            machine.sleep(POLL_SECONDS)
    child.disown()
    machine.close()
    result, error = folder.result(), folder.error()
    if result is not None:
        ledger.append("ended", **known, **outcome(result))
        return True
    if not signals.count:
        why = error["message"] if error else machine.meaning(child, code)
        ledger.append("failed", **known, reason=why)
        if error is None:
            folder.write_error(why, "")
    return not signals.count
