"""Two machines' records in one: each line of the other ledger becomes an entry of this one, as it stood, hash and all.

Own history does not mix with what happened elsewhere: `History` sees own entries only. What is counted over all
machines (chains of studies, seeds that were used) reads `told`. The other ledger's own chain of hashes is part of what
was merged, so `check` can verify it again at any time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coregpt.lab.records.ledger import START, Entry, Ledger, LedgerError, sealed


@dataclass(frozen=True)
class Told:
    """An event, and on which machine: empty for this one, else the hash of its ledger's first line."""

    entry: Entry
    machine: str = ""

    @property
    def event(self) -> str:
        return self.entry.event

    @property
    def time(self) -> str:
        return self.entry.time

    def __getitem__(self, key: str) -> Any:
        return self.entry[key]

    def get(self, key: str) -> Any:
        return self.entry.get(key)


def told(entries: Iterable[Entry]) -> Iterator[Told]:
    """Every event of every machine, each once, however often ledgers were merged into each other."""
    entries = list(entries)
    own = {entry.hash for entry in entries}
    seen: set[str] = set()
    for entry in entries:
        for each in _unwrapped(Told(entry)):
            if each.entry.hash in seen or (each.machine and each.entry.hash in own):
                continue
            seen.add(each.entry.hash)
            yield each


def _unwrapped(each: Told) -> Iterator[Told]:
    if each.event != "merged":
        yield each
        return
    yield from _unwrapped(Told(_inner(each.entry), each["ledger"]))


def _inner(entry: Entry) -> Entry:
    body = dict(entry["line"])
    n, time, event, previous, found = (body.pop(name) for name in ("n", "time", "event", "previous", "hash"))
    return Entry(n, time, event, body, previous, found)


def merge(ledger: Ledger, other: Ledger) -> tuple[int, int]:
    """Take in what `other` has; how many entries were new, and how many it has. Both chains are verified first.

    Raises LedgerError if one is broken, or if `other` is not what it was when it was merged before.
    """
    theirs = other.read()
    with ledger.locked():
        known = merged(ledger.read()).get(_machine(theirs), []) if theirs else []
        for old, new in zip(known, theirs, strict=False):
            if old.hash != new.hash:
                text = f"line {new.n} is not the line that was merged before; nothing was taken"
                raise LedgerError(f"{other.path}: {text}")
        if len(known) > len(theirs):
            raise LedgerError(
                f"{other.path} has {len(theirs)} entries, and {len(known)} of it were merged before: "
                "its end was cut off; nothing was taken"
            )
        if theirs and any(entry.hash == theirs[0].hash for entry in ledger.read()):
            raise LedgerError(f"{other.path} is this ledger, or began as a copy of it; nothing was taken")
        for entry in theirs[len(known) :]:
            line = {**entry.payload, "n": entry.n, "time": entry.time, "event": entry.event}
            line |= {"previous": entry.previous, "hash": entry.hash}
            ledger.add("merged", ledger=_machine(theirs), line=line)
    return len(theirs) - len(known), len(theirs)


def merged(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """By machine its ledger's entries, in order, as far as they were merged."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.event == "merged":
            found.setdefault(entry["ledger"], []).append(_inner(entry))
    return found


def check(entries: Sequence[Entry]) -> list[str]:
    """What is wrong with the chains of merged ledgers, those merged into them too; empty if nothing is."""
    wrong = []
    for machine, theirs in merged(entries).items():
        before = START
        for number, entry in enumerate(theirs, 1):
            if entry.n != number or entry.previous != before or not sealed(entry):
                wrong.append(f"merged ledger {machine[:12]}: line {number} does not follow from the line before it")
                break
            before = entry.hash
        wrong += check(theirs)
    return wrong


def _machine(entries: Sequence[Entry]) -> str:
    return entries[0].hash
