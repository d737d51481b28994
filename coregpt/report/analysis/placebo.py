"""The baseline against itself, through the rules of a report: how often is nothing called something?"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.placebo import PlaceboFacts
from coregpt.report.facts.runs import RunFacts

SOMETHING = ("better", "worse", "candidate", "screened", "unstable")
"""What a report may say of an arm that is its baseline, and should not."""
CONFIDENCE = 0.95


def once(study: StudyFacts, runs: Sequence[RunFacts], arm: str) -> Report:
    """`runs` of the baseline, as many again as the study has seeds: the first ones as they are, the others as `arm`."""
    seeds = study.seeds
    own, other = runs[: len(seeds)], runs[len(seeds) :]
    renamed = [run.model_copy(update={"arm": arm, "seed": seed}) for run, seed in zip(other, seeds, strict=True)]
    return summarise(study, [*own, *renamed])


def rate(study: StudyFacts, arm: str, pool: Mapping[int, float], draws: int) -> int:
    """In how many of so many studies, each drawn from the runs of `pool` without putting any back, it errs."""
    values, rng = np.array(list(pool.values())), np.random.default_rng(0)
    number = len(study.seeds)
    called = 0
    for _ in range(draws):
        drawn = rng.permutation(values)[: 2 * number]
        runs = [
            _run(name, seed, loss)
            for name, half in ((study.baseline, drawn[:number]), (arm, drawn[number:]))
            for seed, loss in zip(study.seeds, half, strict=True)
        ]
        (found,) = summarise(study, runs).comparisons
        called += found.verdict in SOMETHING
    return called


def told(report: Report, pool: Mapping[int, float], draws: int, called: int) -> PlaceboFacts:
    """Both together."""
    (found,) = report.comparisons
    between = stats.binomtest(called, draws).proportion_ci(CONFIDENCE, method="exact")
    interval = (float(between.low), float(between.high))
    seeds = len(report.study.seeds)
    return PlaceboFacts(
        verdict=found.verdict, seeds=seeds, runs=len(pool), draws=draws, called=called, interval=interval
    )


def _run(arm: str, seed: int, loss: float) -> RunFacts:
    name = f"{arm}-{seed}"
    if np.isinf(loss):
        return RunFacts(run_id=name, arm=arm, seed=seed, status="diverged")
    return RunFacts(run_id=name, arm=arm, seed=seed, status="finished", value=float(loss))
