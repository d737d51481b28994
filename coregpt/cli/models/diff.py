"""`coregpt diff`."""

import json
from dataclasses import asdict
from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.engine.training.outcome import SELECT
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import find
from coregpt.lab.records.store import RunFolder
from coregpt.trained.comparing import Difference, compare


def diff(first: str, second: str, study: str | None, store: Path, as_json: bool) -> int:
    entries = Ledger.of(store).read()
    names = [find(entries, store, name, study).id for name in (first, second)]
    found = compare(RunFolder(store / names[0]), RunFolder(store / names[1]), store)
    if as_json:
        say(json.dumps({"first": names[0], "second": names[1], **asdict(found)}, indent=1))
        return 0
    for lines in (settings(found, names), curves(found, names), ends(found, names), weights(found)):
        for line in lines:
            say(line)
    return 0


def settings(found: Difference, names: list[str]) -> list[str]:
    rows = [(key, *pair) for key, pair in found.settings.items()]
    return table([("setting", *names), *rows]) if rows else [f"{names[0]} and {names[1]} have the same settings"]


def curves(found: Difference, names: list[str]) -> list[str]:
    rows = [(f"step {step:,}", f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}") for step, a, b in found.curves]
    if not rows:
        return ["", f"{SELECT}: there is no step at which both were evaluated"]
    return ["", *table([(f"{SELECT} on the way", *names, "second - first"), *rows])]


def ends(found: Difference, names: list[str]) -> list[str]:
    rows = [
        (
            name,
            *("-" if each is None else f"{each:.4f}" for each in (a, b)),
            "-" if a is None or b is None else f"{b - a:+.4f}",
        )
        for name, (a, b) in found.ends.items()
    ]
    return ["", *table([("at the end", *names, "second - first"), *rows])]


def weights(found: Difference) -> list[str]:
    if found.weights is None:
        return ["", "weights: one of the two has kept none"]
    rows = [
        (each.name, each.shape, *("-" if value is None else f"{value:.4f}" for value in (each.distance, each.cosine)))
        for each in found.weights
    ]
    return ["", *table([("weights", "shape", "|second - first| / |first|", "cosine similarity"), *rows])]
