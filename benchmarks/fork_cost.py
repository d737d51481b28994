"""`python -m benchmarks.fork_cost REPORT.json`: how many runs a fork needs beside independent runs.

From a fork study's report: the spread over seeds of the baseline (its branches end as separate runs would, so their
values are those of independent runs) and the spread of the paired difference of each arm. From both, the seeds that
show a true difference of the study's margin at its alpha with its power: for the fork, a paired t-test of f + 2 (1 - f)
run-equivalents per seed; for the usual way, Welch's test on independent runs, two per seed of each. Fixed numbers of
seeds, one arm against the baseline.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from coregpt.cli.reports.report import read_report
from coregpt.report.facts.model import Comparison, Report
from coregpt.stats.power import SEED_LIMIT, smallest_detectable

RESULTS = Path(__file__).parent / "results"
STUDY = Path(__file__).parent.parent / "reports" / "cooldown_or_average" / "report.json"
DRAWS = 20_000


@dataclass(frozen=True)
class Cost:
    """Run-equivalents of the two designs for one arm, and their ratio with a 95% interval."""

    arm: str
    seed_sd: float
    difference_sd: float
    fork_seeds: int
    independent_seeds: int
    fork_runs: float
    independent_runs: float
    ratio: float
    interval: tuple[float, float]


class Seeds:
    """The fewest seeds of a fixed design at which a difference of `margin` is found, for any sd."""

    def __init__(self, report: Report, paired: bool):
        study = report.study
        self.largest_sd, self.numbers = [], []
        for n in (*range(3, 60), *np.unique(np.geomspace(60, SEED_LIMIT, 120).astype(int)).tolist()):
            found = smallest_detectable(1.0, n, alpha=study.alpha, power=study.power, paired=paired)
            if found is not None:
                self.numbers.append(n)
                self.largest_sd.append(study.margin / found)

    def of(self, sd: float) -> float:
        """Infinite where even the largest design that was looked at is too small."""
        place = int(np.searchsorted(self.largest_sd, sd))
        return self.numbers[place] if place < len(self.numbers) else math.inf


def cost(report: Report, comparison: Comparison) -> Cost:
    """One arm. Independent runs beyond a thousand seeds count as a thousand, which is in their favour."""
    assert report.fork is not None
    assert comparison.se is not None
    base = np.array([run.value for run in report.runs if run.arm == report.study.baseline], dtype=float)
    df, per_seed = len(base) - 1, report.fork.share + 2 * (1 - report.fork.share)
    seed_sd, difference_sd = float(base.std(ddof=1)), comparison.se * math.sqrt(comparison.pairs)
    paired, separate = Seeds(report, paired=True), Seeds(report, paired=False)

    def runs(own: float, other: float) -> tuple[float, float]:
        return per_seed * paired.of(own), 2 * min(separate.of(math.sqrt(2) * other), SEED_LIMIT)

    fork_runs, independent_runs = runs(difference_sd, seed_sd)
    # What the true spreads may be: sd sqrt(df / chi2), each drawn by itself.
    random = np.random.default_rng(0)
    own, other = (sd * np.sqrt(df / random.chisquare(df, DRAWS)) for sd in (difference_sd, seed_sd))
    ratios = [a / b for a, b in (runs(*pair) for pair in zip(own, other, strict=True)) if math.isfinite(a)]
    low, high = np.quantile([*ratios, *[math.inf] * (DRAWS - len(ratios))], [0.025, 0.975])
    return Cost(
        comparison.arm,
        seed_sd,
        difference_sd,
        round(fork_runs / per_seed),
        round(independent_runs / 2),
        fork_runs,
        independent_runs,
        fork_runs / independent_runs,
        (float(low), float(high)),
    )


def lines(report: Report, costs: Sequence[Cost]) -> list[str]:
    study, fork = report.study, report.study.fork
    assert report.fork is not None
    assert fork is not None
    made = [
        "# What a fork saves",
        "",
        f"Study `{study.name}`, {len(study.seeds)} seeds, forked at step {fork.step} ({report.fork.share:.0%} of the "
        "baseline's tokens): runs to show a",
        f"difference of {study.margin:g} {study.unit} at alpha {study.alpha:g} with power {study.power:g}, one arm "
        "against the baseline, seeds fixed beforehand.",
        "Fork: paired t-test. Independent: Welch's test, every run with a seed of its own. A run-equivalent is one",
        "whole training run; a pair of branches with its trunk costs "
        f"{report.fork.share + 2 * (1 - report.fork.share):.2f}.",
        f"The interval is what spreads estimated from {len(study.seeds)} seeds leave open. Runs paired by seed "
        "without a fork are not measured here.",
        "`python -m benchmarks.fork_cost` makes this table from the study's committed report.",
        "",
        "| arm | sd over seeds | sd of difference | fork: seeds, runs | independent: seeds each, runs | ratio | 95% |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in costs:
        made.append(
            f"| {c.arm} | {c.seed_sd:.5f} | {c.difference_sd:.5f} | {c.fork_seeds}, {c.fork_runs:.1f} | "
            f"{c.independent_seeds}, {c.independent_runs:.0f} | {c.ratio:.2f} | "
            f"{c.interval[0]:.2f} - {c.interval[1]:.2f} |"
        )
    return [*made, ""]


def main(argv: Sequence[str]) -> None:
    report = read_report(Path(argv[0]) if argv else STUDY)
    costs = [cost(report, c) for c in report.comparisons if c.se]
    RESULTS.mkdir(exist_ok=True)
    text = lines(report, costs)
    (RESULTS / "fork_cost.md").write_text("\n".join(text))
    record = {"study": report.study.name, "digest": report.study.digest, "arms": [asdict(c) for c in costs]}
    (RESULTS / "fork_cost.json").write_text(json.dumps(record, indent=2) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main(sys.argv[1:])
