"""Published numbers about public speedrun records, recomputed from the numbers in their logs.

`python -m tests.lab.logs.published` prints docs/published_claims.md.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from scipy import stats

DATA = Path(__file__).parents[2] / "data"
TARGET = 3.28
LOG_SECONDS = 0.001
"""Logs give times in whole milliseconds; digits beyond that cannot be contradicted."""
RULE_SIGMA = 0.0013
"""The standard deviation that the optimization track's rule takes as known."""


@dataclass(frozen=True)
class Claim:
    """One published number; `n` is how many runs it says it is about."""

    record: str
    kind: str
    value: str
    n: int
    statistic: str
    runs: str

    @property
    def name(self) -> str:
        return f"{self.record}: {self.kind}, {self.statistic} = {self.value}"


@dataclass(frozen=True)
class Outcome:
    """`word` is 'holds', 'does not hold' or 'cannot be checked'; `measured` is over the runs that are here."""

    word: str
    measured: float
    used: int
    remark: str = ""

    @property
    def text(self) -> str:
        found = "" if self.word == "holds" else f": measured {self.measured:.6g}"
        return self.word + found + (f" ({self.remark})" if self.remark else "")


def rows(name: str) -> list[dict[str, str]]:
    """A table of tests/data without its licence line."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def claims() -> list[Claim]:
    return [
        Claim(
            r["record"],
            r["claim_type"],
            r["published_value"],
            int(r["n_published"]),
            r["statistic"],
            r["logs_referred"],
        )
        for r in rows("published_claims.csv")
    ]


def check(claim: Claim) -> Outcome:
    """Recompute one claim to all the digits it was published with."""
    sample = _sample(claim)
    measured = _STATISTICS[_kind(claim)](sample)
    if len(sample) < claim.n:
        return Outcome("cannot be checked", measured, len(sample), f"{len(sample)} of the {claim.n} runs are here")
    if len(sample) > claim.n:
        which = f"it is not said which {claim.n} of the {len(sample)} runs; this is all of them"
        return Outcome("cannot be checked", measured, len(sample), which)
    published = re.search(r"[-\d.]+(?:e-?\d+)?$", claim.value)
    assert published is not None
    value, unit = float(published[0]), 10.0 ** int(Decimal(published[0]).as_tuple().exponent)
    slack = LOG_SECONDS / 2 if "time" in claim.statistic else 0.0
    if abs(measured - value) <= unit / 2 * (1 + 1e-6) + slack:
        return Outcome("holds", measured, len(sample))
    if 0 <= measured - value < unit:
        return Outcome("holds", measured, len(sample), "cut off, not rounded")
    return Outcome("does not hold", measured, len(sample), _near(claim, value, measured))


def _near(claim: Claim, value: float, measured: float) -> str:
    """A slip that would explain the published number."""
    forgotten = measured / claim.n**0.5
    near = _kind(claim) == "z z" and abs(value - forgotten) < 0.01 * forgotten
    return f"without the factor √n it would be {forgotten:.3g}" if near else ""


def _kind(claim: Claim) -> str:
    if claim.statistic.startswith("step "):
        return "mean"
    return claim.statistic.split()[0] + (" z" if claim.kind.startswith("z-test") else "")


_STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda x: float(x.mean()),
    "sd": lambda x: float(x.std(ddof=1)),
    "p": lambda x: float(stats.ttest_1samp(x, TARGET, alternative="less").pvalue),
    "LHS": lambda x: float((TARGET - x.mean()) * np.sqrt(len(x))),
    "z z": lambda x: float((TARGET - x.mean()) * np.sqrt(len(x)) / RULE_SIGMA),
    "p z": lambda x: float(stats.norm.sf((TARGET - x.mean()) * np.sqrt(len(x)) / RULE_SIGMA)),
}


def _sample(claim: Claim) -> np.ndarray:
    """The losses (or seconds) of the runs that a claim is about."""
    step = re.search(r"(?:step |@ )(\d+)", f"{claim.statistic} {claim.runs}")
    if step:
        wanted = [r for r in rows("speedrun_losses.csv") if r["record"] == claim.record and r["step"] == step[1]]
        return np.array([float(r["val_loss"]) for r in wanted])
    mine = [r for r in rows("speedrun_runs.csv") if r["record_dir"] == claim.record]
    column = "final_train_time_s" if "time" in claim.statistic else "final_val_loss"
    if len(mine) > claim.n:  # a published batch was made with one version of torch; other runs came later
        versions = sorted({r["torch"] for r in mine}, key=lambda v: sum(r["torch"] == v for r in mine))
        mine = [r for r in mine if r["torch"] == versions[-1]]
    return np.array([float(r[column]) for r in mine if r[column]])


def document() -> str:
    """docs/published_claims.md."""
    outcomes = [(claim, check(claim)) for claim in claims()]
    count = {word: sum(o.word == word for _, o in outcomes) for word in ("holds", "does not hold", "cannot be checked")}
    lines = [
        "# Published numbers, recomputed from the logs",
        "",
        "Written by `python -m tests.lab.logs.published`; each line is a case of test_published_claims.py there.",
        "The runs are public logs of KellerJordan/modded-nanogpt (MIT licence, Copyright (c) 2024 Keller Jordan),",
        "a part of what was published. A claim holds if the recomputed number agrees in every digit they can give.",
        "",
        f"Of {len(outcomes)} numbers {count['holds']} hold, {count['does not hold']} do not hold and "
        f"{count['cannot be checked']} cannot be checked.",
        "",
        "| record | claim | published | runs | outcome |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for claim, outcome in outcomes:
        kind = claim.kind if claim.statistic in claim.kind else f"{claim.kind}, {claim.statistic}"
        lines.append(f"| {claim.record} | {kind} | {claim.value} | {outcome.used}/{claim.n} | {outcome.text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201
