"""`coregpt rerun` and `coregpt gc`: executing a run again, and deleting what nothing needs."""

from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.lab.garbage import delete, waste
from coregpt.lab.history import History
from coregpt.lab.ledger import Ledger
from coregpt.lab.rerun import again, prepare
from coregpt.lab.runs import find
from coregpt.lab.slurm import SlurmOptions

FAILED, INTERRUPTED = 1, 130
UNITS = ("B", "kB", "MB", "GB")


def rerun(name: str, study: str | None, store: Path, reason: str, slurm: SlurmOptions | None) -> int:
    """Exit code 0 if the run is complete again with the result it had, 1 if not, 130 if interrupted."""
    ledger = Ledger.of(store)
    run = find(ledger.read(), store, name, study)
    folder = prepare(store, run, slurm)
    before = folder.result()
    say(f"run {run.id} ({run.arm} seed {run.seed} of {run.study}) is executed again from its first step")
    if not again(folder, run, reason, ledger, slurm):
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
    value = "" if result["value"] is None else f", val_loss {result['value']:.4f}"
    say(f"{result['status']}{value}" + (", as before" if before is not None else ""))
    return 0


def collect_garbage(store: Path, yes: bool) -> int:
    """List what can be deleted; delete it only if `yes`."""
    found = waste(store)
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
        say(f"{amount(sum(sizes))} could be deleted; nothing was. coregpt gc --yes deletes it")
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
