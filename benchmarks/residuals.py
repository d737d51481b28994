"""`python -m benchmarks.residuals`: make `coregpt/stats/residuals.csv`, the noise of real runs, from their losses."""

import csv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "tests" / "data" / "speedrun_runs.csv"
RESIDUALS = ROOT / "coregpt" / "stats" / "residuals.csv"
TRACK = "track_3_optimization"
FEWEST = 8  # runs of an arm; fewer say little about their own mean

HEADER = """\
# Validation loss of a run minus the mean of its arm, times sqrt(n / (n - 1)), in nats: every run of the seven arms with
# at least 8 runs in tests/data/speedrun_runs.csv, of the optimization track of KellerJordan/modded-nanogpt (logs,
# snapshot of 1 August 2026; MIT licence, Copyright (c) 2024 Keller Jordan). Loss at the step each record publishes. No
# run is left out, also where two runs of an arm ended at the same value. Made by `python -m benchmarks.residuals`.
arm,residual
"""


def losses() -> dict[str, list[float]]:
    """Losses at the published step by arm, arms and runs in the file's order."""
    rows = csv.DictReader(line for line in RUNS.read_text().splitlines() if not line.startswith("#"))
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["track"] == TRACK and row["val_loss_at_published_step"]:
            found.setdefault(row["record_dir"], []).append(float(row["val_loss_at_published_step"]))
    return {arm: values for arm, values in found.items() if len(values) >= FEWEST}


def text() -> str:
    """The whole file."""
    lines = []
    for arm, values in losses().items():
        n = len(values)
        residuals = (np.array(values) - np.mean(values)) * np.sqrt(n / (n - 1))
        lines += [f"{arm},{value:.7f}\n" for value in residuals]
    return HEADER + "".join(lines)


if __name__ == "__main__":
    RESIDUALS.write_text(text())
