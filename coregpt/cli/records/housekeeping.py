"""`coregpt rerun` and `coregpt gc`: executing a run again, and deleting what nothing needs."""

from dataclasses import replace
from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.engine.training.outcome import SELECT
from coregpt.lab.execute.executor import Executor
from coregpt.lab.execute.rerun import again, prepare
from coregpt.lab.execute.slots import Slot, find_slots
from coregpt.lab.records.garbage import delete, waste
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import find
from coregpt.lab.records.store import RunFolder
from coregpt.lab.slurm.cluster import SlurmOptions, cluster, refuse_unless_submittable
from coregpt.lab.slurm.queued import refuse_if_queued
from coregpt.report.verdicts.exit_codes import FAILED, INTERRUPTED

UNITS = ("B", "kB", "MB", "GB")


def rerun(name: str, study: str | None, store: Path, reason: str, slurm: SlurmOptions | None) -> int:
    """Exit code 0 if the run is complete again with the result it had, 1 if not, 130 if interrupted."""
    ledger = Ledger.of(store)
    run = find(ledger.read(), store, name, study)
    folder = prepare(store, run, on_cluster=slurm is not None)
    before = folder.result()
    say(f"run {run.id} ({run.arm} seed {run.seed} of {run.study}) is executed again from its first step")
    if not again(folder, run, reason, ledger, *place_for(folder, slurm)):
        say("stopped; coregpt ablate goes on with it" + (", with --on slurm: its job goes on" if slurm else ""))
        return INTERRUPTED
    result = folder.result()
    if result is None:
        say(f"FAILED: {(folder.error() or {'message': 'see its log'})['message']}\n  log: {folder.log}")
        return FAILED
    past = {past.id: past for past in History(ledger.read(), run.study).runs()}.get(run.id)
    if past is not None and past.contradiction:
        say(f"{past.contradiction}; the run counts no longer, and reports that need it say so")
        return FAILED
    value = "" if result["select"] is None else f", {SELECT} {result['select']:.4f}"
    say(f"{result['status']}{value}" + (", as before" if before is not None else ""))
    return 0


def place_for(folder: RunFolder, slurm: SlurmOptions | None) -> tuple[Slot, Executor]:
    """Where it can be executed as it was before. Raises ConfigError if it cannot, or is in the queue of a cluster."""
    device, ranks = folder.config()["config"]["device"], int(folder.environment().get("ranks", 1))
    store = folder.path.parent
    refuse_if_queued(store, [folder.id])
    if slurm is None:
        slot = find_slots(device, ranks, 1)[0]
        return slot, Executor(slot)
    if device == "cpu":  # one rank a node
        slurm = replace(slurm, nodes=slurm.nodes or ranks)
    refuse_unless_submittable(slurm, store, device, ranks, [folder.id])
    slots, machine = cluster(slurm, store, device, ranks, 1)
    return slots[0], machine


def collect_garbage(store: Path, yes: bool, weights: bool = False) -> int:
    """List what can be deleted; delete it only if `yes`. With `weights` that is also weights that no run is given."""
    found = waste(store, weights)
    if not found:
        say("nothing to delete")
        return 0
    sizes = [each.size for each in found]
    names = [str(each.path.relative_to(store)) for each in found]
    rows = [("size", "what", "why")]
    rows += [(amount(size), name, each.why) for each, name, size in zip(found, names, sizes, strict=True)]
    for line in table(rows):
        say(line)
    if not yes:
        command = "coregpt gc --weights --yes" if weights else "coregpt gc --yes"
        say(f"{amount(sum(sizes))} could be deleted; nothing was. {command} deletes it")
        return 0
    gone = sum(size for each, size in zip(found, sizes, strict=True) if delete(each))
    say(f"{amount(gone)} deleted")
    return 0


def amount(size: float) -> str:
    """`1.3 MB`."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {UNITS[-1]}"
