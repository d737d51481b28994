"""Executing a run again from its first step, with what it had before kept aside and the ledger told.

A run that has a result must come to the same one: the ledger keeps both, and where they differ the run counts no
longer. So a run executed again can confirm a result or destroy it, and never replace it.
"""

import os
import signal
import time
from pathlib import Path

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.engine.data import open_source
from coregpt.engine.world import World
from coregpt.lab.children import spawn
from coregpt.lab.jobs import meaning
from coregpt.lab.launch import caught_signals
from coregpt.lab.ledger import Ledger
from coregpt.lab.registry import Catalogue
from coregpt.lab.runs import Planned
from coregpt.lab.slots import Slot, find_slots
from coregpt.lab.store import RunFolder, claim
from coregpt.lab.worker import environment, refuse_if_moved

KEPT = ("config.json", "plugins", "claim", "memory.json", "attempts")
"""What a run starts with again; everything else moves to attempts/N/."""
SAME = ("torch", "numpy", "device", "processor")
"""Of a run's environment: what must be as it was for equal numbers to be expected."""
POLL_SECONDS = 0.05


def prepare(store: Path, run: Planned) -> RunFolder:
    """The folder of a run that can be executed again here. Raises CoreGPTError if it cannot, and changes nothing."""
    folder = RunFolder(store / run.id)
    record = folder.config()
    if "until" in record:
        raise ConfigError(f"{run.id} is a trunk, which has no result of its own; name one of its branches")
    config = RunConfig.model_validate(record["config"])
    refuse_if_moved(folder, config, Catalogue(sorted(folder.plugins.glob("*.py"))), open_source(config.data.source))
    if branch := record.get("branch"):
        trunk = RunFolder(store / branch["trunk"])
        if trunk.result() is None and trunk.paused() < branch["step"]:
            raise ConfigError(f"the checkpoint of {trunk.id}, with which {run.id} began, is not there any more")
    result = folder.result()
    moved = [] if result is None else elsewhere(folder, config)
    if moved:
        raise ConfigError(
            f"run {run.id} has a result that was computed with {'; '.join(moved)}. Rounding alone would give another "
            "number, and a run with two different results counts no longer"
        )
    return folder


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


def again(folder: RunFolder, run: Planned, reason: str, ledger: Ledger) -> bool:
    """Set aside what there is and train in a worker of its own, all of it on record; False if it was interrupted.

    Raises CoreGPTError before anything is changed if another process has the run or no device is there.
    """
    slot = _slot(folder)
    held = claim(folder)
    if held is None:
        raise ConfigError(f"run {folder.id} is being executed by another process; wait for its end")
    known = {"study": run.study, "run": run.id, "arm": run.arm, "seed": run.seed}
    had = folder.result()
    outcome = {} if had is None else {"status": had["status"], "value": had["value"]}
    ledger.append("rerun", **known, reason=reason, **outcome)
    set_aside(folder)
    ledger.append("started", **known)
    child = spawn(slot, folder.path, None, folder.log, held.descriptor)
    held.release()
    with caught_signals() as signals:
        while (code := child.poll()) is None:
            if signals.count:
                child.signal(signal.SIGTERM)
            time.sleep(POLL_SECONDS)
    child.disown()
    result, error = folder.result(), folder.error()
    if result is not None:
        ledger.append("ended", **known, status=result["status"], value=result["value"])
        return True
    if not signals.count:
        ledger.append("failed", **known, reason=error["message"] if error else meaning(code))
    return not signals.count


def _slot(folder: RunFolder) -> Slot:
    """Where it can be executed as it was before."""
    return find_slots(folder.config()["config"]["device"], int(folder.environment().get("ranks", 1)), 1)[0]
