"""`coregpt calibrate`: simulate every statistical procedure and compare it with what it promises."""

import itertools
import sys
from collections.abc import Iterable

from coregpt.cli.screen import say, table
from coregpt.lab.progress import Display
from coregpt.report.analysis.null_chains import null_chains
from coregpt.report.analysis.null_studies import null_studies
from coregpt.stats.calibration import FULL, QUICK, calibrate
from coregpt.stats.calibration.rows import Row, kept


def show_calibration(seed: int, quick: bool) -> int:
    """Print the table; returns 1 if a procedure does not keep its promise, else 0."""
    replicates = QUICK if quick else FULL
    say(f"{replicates:,} simulated studies per line (fewer where each takes long), seed {seed}.")
    say("Noise: normal, and residuals of real runs. Promised: rates at most nominal, power within 3 points of the")
    say("formula or at least nominal, coverage within 1 point or at least nominal. NOT OK: the number is so far from")
    say("its promise that a table without any broken promise has such a line with a probability of at most 1%.")
    say("No promise: how often one would be wrong without the rule that forbids it, or calls it exploratory.")
    say()
    rows = told(calibrate(replicates, seed), null_studies(replicates, seed), null_chains(replicates, seed))
    ok = kept(rows)
    header = ["procedure", "promise", "noise", "nominal", "measured", "error", "ok"]
    for line in table([header, *(_cells(*pair) for pair in zip(rows, ok, strict=True))]):
        say(line)
    say()
    promises = [fine for row, fine in zip(rows, ok, strict=True) if row.binds]
    say(f"{sum(promises)} of {len(promises)} promises kept.")
    return 0 if all(ok) else 1


def told(*parts: Iterable[Row]) -> list[Row]:
    """All rows; while they come, the newest one is shown on stderr: whether it is in order the whole table decides."""
    display, rows = Display(sys.stderr), list[Row]()
    for row in itertools.chain.from_iterable(parts):
        rows.append(row)
        display.status(f"{len(rows)} lines measured, the last: {row.procedure}, {row.noise} noise {row.measured:.4f}")
    display.clear()
    return rows


def _cells(row: Row, ok: bool) -> list[str]:
    numbers = [f"{value:.4f}" for value in (row.nominal, row.measured, row.error)]
    return [row.procedure, row.kind, row.noise, *numbers, ("ok" if ok else "NOT OK") if row.binds else "-"]
