"""`coregpt ledger verify`: is the record of declarations and runs whole, and do the run folders agree with it?"""

from pathlib import Path

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.records.merging import check
from coregpt.lab.records.store import RunFolder

WHOLE, CONTRADICTED = 0, 1


def verify_ledger(store: Path) -> int:
    """Exit code 0 if the chain is whole and no result contradicts it, 1 if one does, 2 for a broken chain or none."""
    ledger = Ledger.of(store)
    entries = ledger.read()
    if not entries:
        raise ConfigError(f"{ledger.path}: there is no ledger; coregpt ablate writes one, --runs says where")
    complete = {entry["run"]: entry for entry in entries if entry.event in ("ended", "found")}
    wrong = [line for run, entry in complete.items() if (line := _contradiction(store, run, entry))]
    wrong += [*_not_reproduced(entries), *check(entries)]
    for line in wrong:
        say(line)
    studies = {entry["study"] for entry in entries if entry.event == "declared"}
    gone = sum(not (store / run / "result.json").exists() for run in complete)
    say(f"{len(entries)} entries, {len(studies)} studies, {len(complete)} complete runs ({gone} without their folder)")
    say(f"the chain is whole; its head is {entries[-1].hash}")
    return CONTRADICTED if wrong else WHOLE


def _not_reproduced(entries: list[Entry]) -> list[str]:
    studies = dict.fromkeys(entry["study"] for entry in entries if entry.event == "declared")
    past = {run.id: run for study in studies for run in History(entries, study).runs()}
    return [f"run {run.id}: {run.contradiction}" for run in past.values() if run.contradiction]


def _contradiction(store: Path, run: str, entry: Entry) -> str:
    result = RunFolder(store / run).result()
    recorded = {key: entry.payload[key] for key in ("status", "value", "select") if key in entry.payload}
    if result is None or {key: result.get(key) for key in recorded} == recorded:
        return ""
    says, were = (", ".join(str(found.get(key)) for key in recorded) for found in (result, recorded))
    return f"run {run}: result.json says {says}; recorded were {were}"
