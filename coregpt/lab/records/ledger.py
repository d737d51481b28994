"""The ledger `runs/ledger.jsonl`: what was declared and which runs were ever started, append-only and chained.

Each line is one event as canonical JSON with its number `n`, its time, the hash of the line before (`previous`) and
its own `hash` = sha256(previous + the line without `hash`). A line that is edited, dropped or swapped breaks the
chain at a line that can be named. What no chain can show is the loss of its end: complete runs that the ledger has
not seen start are therefore recorded as `found`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from coregpt.contract.errors import RunError
from coregpt.lab.atomic import MAY_NOT, unwritable
from coregpt.lab.study.identity import canonical

try:
    import fcntl
except ImportError:  # Windows has no advisory locks
    fcntl = None  # type: ignore[assignment]

Event = Literal[
    "declared",  # a study, before its first run
    "amended",  # another declaration of the same study
    "replanned",  # the same declaration with other run ids (code, data or machine moved), or other watched outcomes
    "frozen",  # the settings of every arm, found by tuning, before the first run with them
    "paced",  # the tokens that each arm of a study trains in equal seconds, as measured
    "split",  # the GPUs that each run of a study gets, as measured
    "superseded",  # a run that was started and whose arm and seed now have another id
    "started",
    "ended",  # complete: finished or diverged
    "failed",
    "rerun",  # from its first step; the result it had, if any, is part of the entry and was set aside
    "found",  # complete, but never started under this ledger
    "looked",  # an arm was decided before the end of its study
    "chained",  # a study's place in the chain of its baseline, and the level that this gives it
    "concluded",  # what a study's report said of its arms, and what the chain confirms of it
    "merged",  # one line of another machine's ledger
]
START = "0" * 64
TAIL_BYTES = 1 << 16


class LedgerError(RunError):
    """The chain is broken. The message names the line. No further call will mend it, as it may a run that failed."""

    exit_code = 2


@dataclass(frozen=True)
class Entry:
    """One line."""

    n: int
    time: str
    """UTC, to the second."""
    event: str
    payload: dict[str, Any]
    previous: str
    hash: str

    def __getitem__(self, key: str) -> Any:
        return self.payload[key]

    def get(self, key: str) -> Any:
        return self.payload.get(key)


_listening: list[Callable[[Entry], None]] = []


@contextmanager
def told_to(listener: Callable[[Entry], None]) -> Iterator[None]:
    """Meanwhile `listener` hears of every entry that this process adds, to whichever ledger, once it is on disk."""
    _listening.append(listener)
    try:
        yield
    finally:
        _listening.remove(listener)


class Ledger:
    """A ledger on disk; several processes may append at the same time."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def of(cls, store: Path) -> "Ledger":
        """The ledger of a folder of runs."""
        return cls(store / "ledger.jsonl")

    def read(self) -> list[Entry]:
        """Every entry, the whole chain verified; a torn last line is not there yet. Raises LedgerError."""
        try:
            raw = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return []
        return self._parse(raw)

    def append(self, event: Event, **payload: Any) -> Entry:
        """Add one event and wait until it is on disk. Raises LedgerError if the end of the ledger is broken."""
        with self.locked():
            return self.add(event, **payload)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes meanwhile; on a file system without locks that is up to the user."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._opened_lock()
        try:
            if fcntl is not None and descriptor is not None:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _opened_lock(self) -> int | None:
        """None in a folder that is only to be read: reading needs no lock, and writing says what is wrong."""
        path = self.path.with_suffix(".lock")
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # the umask says who else may
        except OSError as error:
            if error.errno not in MAY_NOT:
                raise
        with suppress(OSError):
            return os.open(path, os.O_RDONLY)
        return None

    def add(self, event: Event, **payload: Any) -> Entry:
        """`append` for a caller that holds the lock."""
        last = self._repaired_end()
        n, previous = (last.n + 1, last.hash) if last else (1, START)
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {**payload, "n": n, "time": time, "event": event, "previous": previous}
        line = {**body, "hash": _hash(previous, body)}
        try:
            with self.path.open("ab") as file:
                file.write(canonical(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error
        entry = Entry(n, time, event, payload, previous, line["hash"])
        for tell in _listening:
            tell(entry)
        return entry

    # -- reading -------------------------------------------------------------------------------------------

    def _parse(self, raw: bytes) -> list[Entry]:
        entries: list[Entry] = []
        lines = raw.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            entries.append(self._entry(line, number, entries[-1] if entries else None))
        torn = lines[-1]
        if torn:
            with suppress(LedgerError):  # an append that a crash cut short was never acknowledged
                entries.append(self._entry(torn, len(lines), entries[-1] if entries else None))
        return entries

    def _entry(self, line: bytes, number: int, before: Entry | None) -> Entry:
        entry = self._decoded(line, number)
        expected = before.hash if before else START
        if entry.n != number or entry.previous != expected:
            raise self._broken(number, "it does not follow the line before it: a line was removed, added or moved")
        return entry

    def _decoded(self, line: bytes, number: int) -> Entry:
        try:
            body = json.loads(line)
            found = body.pop("hash")
            sound = _hash(body["previous"], body) == found
            names = ("n", "time", "event", "previous")
            own = [body.pop(name) for name in names]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._broken(number, "it is not an entry of a ledger") from error
        if not sound:
            raise self._broken(number, "it was edited after it was written")
        n, time, event, previous = own
        return Entry(n, time, event, body, previous, found)

    def _broken(self, number: int, why: str) -> LedgerError:
        return LedgerError(
            f"{self.path}:{number}: {why}; the ledger is broken from there on. Restore the file from a copy, "
            "or move it away: studies declared after that say that their results were known before"
        )

    def _repaired_end(self) -> Entry | None:
        """The last entry; the file ends with it and a line break afterwards."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = max(0, size - TAIL_BYTES)
                file.seek(start)
                tail = file.read()
        except FileNotFoundError:
            return None
        if start and tail.count(b"\n") < 2:  # a long line: a declaration
            tail, start = self.path.read_bytes(), 0
        if tail and not tail.endswith(b"\n"):
            tail = self._repair(tail, size)
        lines = tail.split(b"\n")[:-1]
        if not lines:
            return None
        try:
            return self._decoded(lines[-1], 0)
        except LedgerError:
            self.read()  # says which line is the first broken one
            raise

    def _repair(self, tail: bytes, size: int) -> bytes:
        """Complete or drop the last line, which an interrupted append left without its end."""
        cut = tail.rfind(b"\n") + 1
        torn = tail[cut:]
        try:
            self._decoded(torn, 0)
        except LedgerError:
            os.truncate(self.path, size - len(torn))
            return tail[:cut]
        with self.path.open("ab", buffering=0) as file:
            file.write(b"\n")
            os.fsync(file.fileno())
        return tail + b"\n"


class Follower:
    """Which runs others have entered as ended, reading only what was appended since it last looked."""

    def __init__(self, ledger: Ledger):
        self.path, self.runs = ledger.path, set[str]()
        # A torn last line will be cut off by whoever writes next: only whole lines stay where they are.
        self.offset = ledger.path.read_bytes().rfind(b"\n") + 1 if ledger.path.exists() else 0

    def knows(self, run: str) -> bool:
        """Whether the end of `run` was entered since this follower began; ask while holding the ledger's lock."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.offset)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.offset += len(whole)
            entries = [json.loads(line) for line in whole.splitlines()]
            self.runs |= {entry["run"] for entry in entries if entry["event"] == "ended"}
        return run in self.runs


def sealed(entry: Entry) -> bool:
    """Whether its hash is that of what it says."""
    body = {**entry.payload, "n": entry.n, "time": entry.time, "event": entry.event, "previous": entry.previous}
    return _hash(entry.previous, body) == entry.hash


def _hash(previous: str, body: dict[str, Any]) -> str:
    return hashlib.sha256(previous.encode() + canonical(body)).hexdigest()
