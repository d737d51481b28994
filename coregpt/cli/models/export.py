"""`coregpt export`."""

from pathlib import Path

from coregpt.cli.records.housekeeping import amount
from coregpt.cli.screen import say, table
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import find
from coregpt.trained.exporting import export as exported


def export(name: str, study: str | None, store: Path, out: Path) -> int:
    run = find(Ledger.of(store).read(), store, name, study)
    folder = exported(run.id, store, out)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for line in table([(amount(path.stat().st_size), str(path)) for path in files]):
        say(line)
    say(f"in Python: from coregpt.trained.exporting import open_export; open_export({str(out)!r}).logits(tokens)")
    return 0
