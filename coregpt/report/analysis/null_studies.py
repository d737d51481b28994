"""Whole studies of arms that do nothing, through the report: how often does a verdict say "better" or "worse"?

Where `stats.calibration` simulates tests, this simulates what a reader sees: facts in, words out.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import ArmFacts, DataFacts, StudyFacts
from coregpt.report.facts.runs import RunFacts
from coregpt.stats.calibration.noise import CORRELATION, Noise, noises
from coregpt.stats.calibration.rows import Row, of_flags

Array = NDArray[np.float64]

ALPHA = 0.05
_SD = 0.01
_PER_STUDY = 20  # one whole study for this many of the vectorised ones
_BAD_SEEDS = 0.15
_TRIALS = 8


def null_studies(replicates: int, seed: int = 0) -> Iterator[Row]:
    """Rates of "better" or "worse" on any arm of a study; at most the study's alpha is promised."""
    studies = replicates // _PER_STUDY
    for noise in noises(seed):
        for arms, seeds, paired in ((2, 5, True), (4, 5, True), (4, 10, True), (3, 5, False)):
            facts = made_up(arms, seeds, paired)
            shared = CORRELATION if paired else 0.0
            hits = [_decides(facts, noise.study(1, arms, seeds, shared)[0]) for _ in range(studies)]
            how = "paired" if paired else "unpaired"
            yield _row(f"report, {arms} arms, {seeds} seeds, {how}", noise, hits)
        facts = made_up(2, 10, paired=True)
        yield _row("report, 10 seeds, bad seeds diverge", noise, [_bad_luck(facts, noise) for _ in range(studies)])
        name = f"report, best of {_TRIALS} on fresh seeds"
        yield _row(name, noise, [_tuned(facts, noise) for _ in range(studies)])


def _row(name: str, noise: Noise, hits: list[bool]) -> Row:
    return of_flags(name, "false positives", noise.name, ALPHA, np.array(hits))


def _bad_luck(facts: StudyFacts, noise: Noise) -> bool:
    """On a bad seed each run diverges with probability one half, whichever its arm."""
    y = noise.study(1, 2, len(facts.seeds))[0]
    bad = noise.rng.random(y.shape[1]) < _BAD_SEEDS
    y[bad & (noise.rng.random(y.shape) < 0.5)] = np.inf
    return _decides(facts, y)


def _tuned(facts: StudyFacts, noise: Noise) -> bool:
    """The best of some trials on 5 tuning seeds against the baseline, both on seeds that chose nothing."""
    best = int(noise.study(1, _TRIALS, 5)[0].mean(1).argmin())
    fresh = noise.study(1, _TRIALS + 1, len(facts.seeds))[0]
    return _decides(facts, fresh[[_TRIALS, best]])


def _decides(facts: StudyFacts, losses: Array) -> bool:
    """`losses` is (arms, seeds) in standard deviations; infinite where a run diverged."""
    report = summarise(facts, as_runs(losses))
    return any(found.verdict in ("better", "worse") for found in report.comparisons)


def as_runs(losses: Array) -> list[RunFacts]:
    """Runs of `losses` (arms, seeds) in standard deviations; infinite where one diverged."""
    return [_run(i, seed, y) for (i, seed), y in np.ndenumerate(losses)]


def _run(arm: int, seed: int, loss: float) -> RunFacts:
    name, value = f"arm{arm}", 3.0 + _SD * float(loss)
    if np.isinf(loss):
        return RunFacts(run_id=f"{name}-{seed}", arm=name, seed=seed, status="diverged")
    return RunFacts(run_id=f"{name}-{seed}", arm=name, seed=seed, status="finished", value=value)


def made_up(arms: int, seeds: int, paired: bool) -> StudyFacts:
    """A study whose arms do nothing; arm0 is the baseline."""
    names = [f"arm{i}" for i in range(arms)]
    return StudyFacts(
        name="nothing differs",
        question="",
        baseline=names[0],
        arms=tuple(ArmFacts(name=name, parameters=1, flops_per_token=1.0, tokens=1, steps=1) for name in names),
        alpha=ALPHA,
        margin=_SD,
        power=0.9,
        assumed_sd=None,
        target=None,
        seeds=tuple(range(seeds)),
        paired=paired,
        digest="",
        data=DataFacts(name="", sha256="", train_tokens=1, val_tokens=1, eval_tokens=1, split_rule=""),
    )
