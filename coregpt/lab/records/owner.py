"""One name, one study: a name in the ledger belongs to the file that was declared under it first."""

import os
from collections.abc import Iterable
from pathlib import Path

from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Entry
from coregpt.lab.study.declaration import Study


def place(study: Study, store: Path) -> str:
    """Where a study's file lies, seen from the folder of runs: both may be moved together."""
    there, here = study.path.resolve(), store.resolve()
    try:
        return Path(os.path.relpath(there, here)).as_posix()
    except ValueError:  # another drive
        return there.as_posix()


def other_file(study: Study, entries: Iterable[Entry], store: Path) -> Path | None:
    """The file that the study's name belongs to, if that is another one and says something else.

    One that is there no longer was moved, and its study with it; a ledger of an earlier version names none.
    """
    declared = History(entries, study.name).declared
    owner = next((entry["place"] for entry in reversed(declared) if entry.get("place")), "")
    if not owner or owner == place(study, store) or declared[-1]["digest"] == study.digest:
        return None
    there = Path(os.path.normpath(store.resolve() / owner))
    return there if there.exists() else None
