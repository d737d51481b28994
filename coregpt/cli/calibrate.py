"""`coregpt calibrate`: simulate every statistical procedure and compare it with what it promises."""

from coregpt.cli.screen import say, table
from coregpt.stats.calibration import FULL, QUICK, Row, calibrate


def show_calibration(seed: int, quick: bool) -> int:
    """Print the table; returns 1 if a procedure does not keep its promise, else 0."""
    replicates = QUICK if quick else FULL
    say(f"{replicates:,} simulated studies per line (fewer where the error is larger), seed {seed}.")
    say("Noise: normal, and residuals of real runs. ok: rates at most nominal, power within 3 points of the formula,")
    say("coverage within 1 point; each allows for 3 Monte Carlo errors.")
    say()
    rows = list(calibrate(replicates, seed))
    for line in table([["procedure", "promise", "noise", "nominal", "measured", "error", "ok"], *map(_cells, rows)]):
        say(line)
    broken = [row for row in rows if not row.ok]
    say()
    say(f"{len(rows) - len(broken)} of {len(rows)} promises kept.")
    return 1 if broken else 0


def _cells(row: Row) -> list[str]:
    numbers = [f"{value:.4f}" for value in (row.nominal, row.measured, row.error)]
    return [row.procedure, row.kind, row.noise, *numbers, "ok" if row.ok else "NOT OK"]
