"""Every outcome of every arm against the baseline, paired by seed, and one correction for all of them together."""

from collections.abc import Sequence

import numpy as np

from coregpt.report.designs.design import Known
from coregpt.report.facts.evaluate import OutcomeFacts, Secondary, SecondaryResult
from coregpt.report.facts.inputs import StudyFacts
from coregpt.stats.contrasts import holm, paired_t, t_interval
from coregpt.stats.design import MIN_ERROR_DF

TUNED = "arms are tuned, and nothing allows for that here"
FEWEST = MIN_ERROR_DF + 1
"""Seeds of one arm against the baseline that bring an estimate of the noise."""


def find_secondary(known: Known) -> Secondary | None:
    """None for a study that asks for nothing beside its metric.

    Where arms were tuned by a bracket nothing is tested: what an outcome owes to a rate that is not quite the best one
    was never measured, and the allowance of the metric is not its own (decision 041).

    A comparison without a test counts among those that are corrected for: whether it has one follows from the runs.
    """
    study = known.study
    if study.evaluated is None:
        return None
    ended = {(run.arm, run.seed) for run in known.runs if run.status == "finished"}
    rows = [
        _result(study, outcome, arm, [seed for seed in study.seeds if {(arm, seed), (study.baseline, seed)} <= ended])
        for outcome in study.evaluated.outcomes
        for arm in study.treatments
    ]
    adjusted = holm([1.0 if row.p is None else row.p for row in rows])
    results = (row if row.p is None else _judged(row, p, study.alpha) for row, p in zip(rows, adjusted, strict=True))
    return Secondary(comparisons=len(rows), results=tuple(results))


def _result(study: StudyFacts, outcome: OutcomeFacts, arm: str, seeds: Sequence[int]) -> SecondaryResult:
    """Of the seeds that both have finished."""
    values = {name: dict(zip(study.seeds, outcome.values[name], strict=True)) for name in (study.baseline, arm)}
    both = [seed for seed in seeds if all(_finite(values[name][seed]) for name in values)]
    base, own = (np.array([values[name][seed] for seed in both], dtype=np.float64) for name in values)
    first, second, gap = (float(each.mean()) if both else None for each in (base, own, own - base))
    row = SecondaryResult(outcome=outcome.name, arm=arm, pairs=len(both), baseline=first, value=second, difference=gap)
    if why := _untested(study, len(both)):
        return row.model_copy(update={"untested": why})
    found = paired_t(own, base)  # its first argument minus its second
    if study.bracket is not None:
        at = {"se": found.se, "df": found.df, "interval": t_interval(found, 0.95)}
        return row.model_copy(update={**at, "untested": TUNED})
    return row.model_copy(
        update={"se": found.se, "df": found.df, "interval": t_interval(found, 0.95), "p": found.p},
    )


def _finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


def _untested(study: StudyFacts, pairs: int) -> str:
    if study.pilot:
        return "a pilot tests nothing"
    if pairs < len(study.seeds):
        return f"only {pairs} of {len(study.seeds)} seeds have both"
    return f"fewer than {FEWEST} seeds" if pairs < FEWEST else ""


def _judged(row: SecondaryResult, p_adjusted: float, alpha: float) -> SecondaryResult:
    way = "lower" if (row.difference or 0.0) < 0 else "higher"
    return row.model_copy(update={"p_adjusted": p_adjusted, "shown": way if p_adjusted < alpha else ""})
