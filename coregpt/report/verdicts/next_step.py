"""What would decide an arm that is not decided: how many more seeds, and what they cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from coregpt.report.drawing.numbers import plural, si
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts
from coregpt.stats.design import Design, fewest_seeds
from coregpt.stats.power import cautious_sd, out_of_reach, seeds_needed


def further(study: StudyFacts, design: Design, c: Comparison) -> dict[str, Any]:
    """Seeds beyond the present ones to settle the margin either way, their runs and training FLOPs."""
    seeds = _more_seeds(study, design, c)
    if not seeds:
        return {"more_seeds": seeds}
    return {"more_seeds": seeds, "more_runs": 2 * seeds, "more_flops": _flops(study, c.arm, seeds)}


def _more_seeds(study: StudyFacts, design: Design, c: Comparison) -> int | None:
    """None if unknown or over a thousand."""
    if study.screen is not None or study.stage == "screen" or not c.se or not c.df or any(c.failures):
        return None
    sd = cautious_sd((c.sampling_se or 0.0) * float(np.sqrt(c.pairs)), c.df)
    needed = seeds_needed(
        sd,
        study.margin,
        design.n_treatments,
        alpha=study.alpha,
        power=study.power,
        paired=study.paired,
        at_least=design.n_seeds,
        allowance=c.allowance or 0.0,
    )
    return None if needed is None else needed - design.n_seeds


def _flops(study: StudyFacts, arm: str, seeds: int) -> float | None:
    """Of the arm and the baseline; what they share is counted once."""
    facts = [each for each in study.arms if each.name in (arm, study.baseline)]
    spent = [each.flops_per_token * each.tokens for each in facts if each.flops_per_token and each.tokens]
    if len(spent) < len(facts):
        return None
    base = next(each.flops_per_token or 0.0 for each in facts if each.name == study.baseline)
    return seeds * (sum(spent) - study.shared_tokens * base)


def more_hours(study: StudyFacts, runs: Sequence[RunFacts], comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Hours of training by undecided arm, from the median of its finished runs and of the baseline's."""
    seconds: dict[str, list[float]] = {arm.name: [] for arm in study.arms}
    for run in runs:
        if run.status == "finished" and run.timing.train_seconds is not None:
            seconds[run.arm].append(run.timing.train_seconds)
    both = {c.arm: (seconds[c.arm], seconds[study.baseline]) for c in comparisons if c.more_runs}
    needed = {c.arm: c.more_seeds or 0 for c in comparisons}
    return {arm: needed[arm] * sum(map(np.median, each)) / 3600 for arm, each in both.items() if all(each)}


def next_step(study: StudyFacts, c: Comparison) -> str:
    """The end of a sentence on an undecided arm."""
    if any(c.failures) or c.arm in study.incomparable or study.screen is not None or c.given_up:
        return ""
    if c.more_seeds is None:
        if not c.se:
            short = fewest_seeds(len(study.treatments), paired=study.paired) - len(study.seeds)
            return f" At least {plural(short, 'more seed')} would be needed for any test." if short > 0 else ""
        if c.allowance and _out_of_reach(study, c.allowance):
            return " No number of seeds settles the margin: what is not known of the arms' own settings hides it."
        return f" Settling a difference of {study.margin:g} would take more than 1000 seeds."
    if c.more_seeds == 0:
        return " There were enough seeds for the margin; the true difference probably lies close to it."
    cost = f", {plural(c.more_runs or 0, 'run')}" + (f" and {si(c.more_flops)} FLOPs" if c.more_flops else "")
    return f" About {plural(c.more_seeds, 'more seed')} per arm{cost} would settle a difference of {study.margin:g}."


def _out_of_reach(study: StudyFacts, allowance: float) -> bool:
    arms = len(study.treatments)
    return out_of_reach(study.margin, arms, alpha=study.alpha, power=study.power, allowance=allowance)
