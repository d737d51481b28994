"""Each arm against the baseline: estimates first, then the verdict by fixed rules in a fixed order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from coregpt.report.contrasts import (
    interval,
    more_failures_p,
    paired_t,
    sign_flip_p,
    t_interval,
    tost_p,
    welch,
)
from coregpt.report.design import Design
from coregpt.report.effects import hedges_g, pairing
from coregpt.report.inputs import RunFacts, StudyFacts
from coregpt.report.model import Comparison
from coregpt.report.power import cautious_sd, seeds_needed, smallest_detectable
from coregpt.report.primary import Tested, run_primary
from coregpt.report.verdict import decide

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Final values per arm in seed order: a number, inf where the run diverged, NaN where there is no outcome."""

    baseline: str
    seeds: tuple[int, ...]
    values: dict[str, Vector]

    @classmethod
    def of(cls, study: StudyFacts, runs: Sequence[RunFacts]) -> Self:
        """`runs` holds every planned cell, arms in order, seeds in order."""
        outcomes = np.array([_outcome(run) for run in runs]).reshape(len(study.arms), len(study.seeds))
        names = [arm.name for arm in study.arms]
        return cls(study.baseline, study.seeds, dict(zip(names, outcomes, strict=True)))

    def missing(self, arm: str) -> tuple[int, ...]:
        """Seeds for which this arm or the baseline has no outcome."""
        gone = np.isnan(self.values[arm]) | np.isnan(self.values[self.baseline])
        return tuple(seed for seed, absent in zip(self.seeds, gone, strict=True) if absent)

    def diverged(self, arm: str) -> int:
        """How many runs of this arm diverged."""
        return int(np.isinf(self.values[arm]).sum())

    def seeds_do_nothing(self, arm: str) -> bool:
        """Whether at least two runs with different seeds all ended at exactly the same number."""
        numbers = self.values[arm][np.isfinite(self.values[arm])]
        return len(numbers) > 1 and float(np.ptp(numbers)) == 0.0


def compare_all(study: StudyFacts, design: Design, outcomes: Outcomes) -> tuple[Comparison, ...]:
    """Compare every arm with the baseline, in YAML order. Sentences are added later."""
    baseline = outcomes.values[study.baseline]
    frozen = outcomes.seeds_do_nothing(study.baseline)
    whole = [
        arm
        for arm in study.treatments
        if not outcomes.missing(arm) and not frozen and not outcomes.seeds_do_nothing(arm)
    ]
    ranked = {arm: outcomes.values[arm] for arm in whole if outcomes.diverged(arm) + outcomes.diverged(study.baseline)}
    measured = {arm: outcomes.values[arm] for arm in whole if arm not in ranked}
    tested = run_primary(design, study.alpha, baseline, measured, ranked)
    return tuple(_compare(study, design, outcomes, arm, tested.get(arm)) for arm in study.treatments)


def _compare(study: StudyFacts, design: Design, outcomes: Outcomes, arm: str, tested: Tested | None) -> Comparison:
    facts = _estimates(study, outcomes, arm)
    facts |= _failures(study, outcomes, arm)
    if tested is not None:
        facts |= _tested(study, design, tested)
    frozen = [name for name in (study.baseline, arm) if outcomes.seeds_do_nothing(name)]
    before = Comparison(arm=arm, verdict="inconclusive", **facts)
    after = decide(study, design, before, frozen, tested.direction if tested else 0.0)
    if after.verdict == "inconclusive":
        return after.model_copy(update={"more_seeds": _more_seeds(study, design, after)})
    return after


def _estimates(study: StudyFacts, outcomes: Outcomes, arm: str) -> dict[str, Any]:
    """Descriptive numbers on the seeds where both runs finished; whatever they are conditional on is named."""
    baseline, values = outcomes.values[study.baseline], outcomes.values[arm]
    both = np.isfinite(baseline) & np.isfinite(values)
    b, a = baseline[both], values[both]
    facts: dict[str, Any] = {"pairs": len(b)}
    if len(b) == 0:
        return facts
    facts["gain"] = float((b - a).mean())
    if outcomes.missing(arm):
        facts["gain_condition"] = "incomplete: only seeds with both runs"
    elif len(b) < len(baseline):
        facts["gain_condition"] = "conditional on finishing"
    if len(b) < 2:
        return facts
    estimate = paired_t(b, a) if study.paired else welch(b, a)
    facts |= {"se": estimate.se, "df": estimate.df}
    if len(b) < len(baseline):  # conditional numbers are shown as means only
        return facts
    facts["effect_size"] = hedges_g(b, a)
    if study.paired and (bought := pairing(b, a)):
        facts |= {
            "seed_correlation": bought.correlation,
            "seed_correlation_interval": bought.interval,
            "pairing_worth": bought.worth,
        }
    return facts


def _failures(study: StudyFacts, outcomes: Outcomes, arm: str) -> dict[str, Any]:
    mine, other = outcomes.diverged(arm), outcomes.diverged(study.baseline)
    facts: dict[str, Any] = {"failures": (mine, other), "missing_seeds": outcomes.missing(arm)}
    if mine + other:
        facts["p_failures"] = more_failures_p(mine, other, len(outcomes.seeds))
    elif not facts["missing_seeds"] and len(outcomes.seeds) > 1:
        b, a = outcomes.values[study.baseline], outcomes.values[arm]
        facts["p_welch"] = welch(b, a).p
        facts["p_sign_flip"] = sign_flip_p(b - a) if study.paired else None
    return facts


def _tested(study: StudyFacts, design: Design, tested: Tested) -> dict[str, Any]:
    facts: dict[str, Any] = {"test": tested.test, "p": tested.p, "p_adjusted": tested.p_adjusted}
    estimate = tested.contrast
    if estimate is None:
        return facts
    return facts | {
        "se": estimate.se,
        "df": estimate.df,
        "t": estimate.t,
        "interval": t_interval(estimate, 0.95),
        "interval90": t_interval(estimate, 0.9),
        "test_interval": interval(estimate, tested.critical),
        "p_equivalence": tost_p(estimate, study.margin),
        "p_separate": tested.p_separate,
        "noisy": tested.noisy,
        "smallest_detectable": smallest_detectable(
            estimate.se * float(np.sqrt(design.n_seeds)),
            design.n_seeds,
            design.n_treatments,
            alpha=study.alpha,
            power=study.power,
            paired=study.paired,
        ),
    }


def _more_seeds(study: StudyFacts, design: Design, comparison: Comparison) -> int | None:
    """Seeds beyond the present ones to settle the margin either way; None if unknown or over a thousand."""
    if not comparison.se or not comparison.df or any(comparison.failures):
        return None
    sd = cautious_sd(comparison.se * float(np.sqrt(comparison.pairs)), comparison.df)
    needed = seeds_needed(
        sd,
        study.margin,
        design.n_treatments,
        alpha=study.alpha,
        power=study.power,
        paired=study.paired,
        at_least=design.n_seeds,
    )
    return None if needed is None else needed - design.n_seeds


def _outcome(run: RunFacts) -> float:
    if run.status == "finished" and run.value is not None and np.isfinite(run.value):
        return run.value
    return np.inf if run.status in ("finished", "diverged") else np.nan
