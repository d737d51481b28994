"""Each arm against the baseline: estimates first, then the verdict by fixed rules in a fixed order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.basis import Basis
from coregpt.report.verdicts.next_step import further
from coregpt.report.verdicts.verdict import USUAL, Stopped, decide
from coregpt.stats.contrasts import (
    interval,
    more_failures_p,
    paired_t,
    sign_flip_p,
    t_interval,
    tost_p,
    welch,
)
from coregpt.stats.design import Design
from coregpt.stats.effects import hedges_g, pairing
from coregpt.stats.power import detectable
from coregpt.stats.primary import Tested, run_primary

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Final values per arm in seed order: a number, inf where the run diverged, NaN where there is no outcome."""

    baseline: str
    seeds: dict[str, tuple[int, ...]]
    values: dict[str, Vector]
    paired: bool

    @classmethod
    def of(cls, study: StudyFacts, runs: Sequence[RunFacts]) -> Self:
        """`runs` holds every planned cell that counts, arms in order, seeds in order."""
        names = [arm.name for arm in study.arms]
        values = {name: np.array([_outcome(run) for run in runs if run.arm == name]) for name in names}
        seeds = {name: tuple(run.seed for run in runs if run.arm == name) for name in names}
        return cls(study.baseline, seeds, values, study.paired)

    def missing(self, arm: str) -> tuple[int, ...]:
        """Seeds for which this arm or the baseline has no outcome."""
        gone = {seed for name in (arm, self.baseline) for seed in self._absent(name)}
        return tuple(sorted(gone))

    def _absent(self, arm: str) -> list[int]:
        return [seed for seed, value in zip(self.seeds[arm], self.values[arm], strict=True) if np.isnan(value)]

    def finished(self, arm: str) -> tuple[Vector, Vector]:
        """Numbers of the baseline and the arm; if they are paired, of the seeds where both have one."""
        baseline, values = self.values[self.baseline], self.values[arm]
        have_b, have_a = np.isfinite(baseline), np.isfinite(values)
        if self.paired:
            have_b = have_a = have_b & have_a
        return baseline[have_b], values[have_a]

    def diverged(self, arm: str) -> int:
        """How many runs of this arm diverged."""
        return int(np.isinf(self.values[arm]).sum())

    def seeds_do_nothing(self, arm: str) -> bool:
        """Whether at least two runs with different seeds all ended at exactly the same number."""
        numbers = self.values[arm][np.isfinite(self.values[arm])]
        return len(numbers) > 1 and float(np.ptp(numbers)) == 0.0

    def alike(self) -> list[tuple[str, ...]]:
        """Groups of arms that gave exactly equal numbers for every seed that both have, two seeds or more."""
        groups: list[list[str]] = []
        for arm in self.values:
            same = next((group for group in groups if all(self._equal(arm, other) for other in group)), None)
            if same is None:
                groups.append([arm])
            else:
                same.append(arm)
        return [tuple(group) for group in groups if len(group) > 1]

    def _equal(self, one: str, other: str) -> bool:
        if not self.paired:
            return False
        first, second = (dict(zip(self.seeds[arm], self.values[arm], strict=True)) for arm in (one, other))
        both = [seed for seed in first.keys() & second.keys() if np.isfinite(first[seed]) and np.isfinite(second[seed])]
        return len(both) > 1 and all(first[seed] == second[seed] for seed in both)


def compare_all(
    study: StudyFacts, basis: Basis, outcomes: Outcomes, settled: Mapping[str, Comparison]
) -> tuple[Comparison, ...]:
    """Compare every arm with the baseline, in YAML order; `settled` ones are compared already. Sentences come later."""
    baseline = outcomes.values[study.baseline]
    frozen = outcomes.seeds_do_nothing(study.baseline)
    whole = [
        arm
        for arm in study.treatments
        if arm not in study.incomparable
        and arm not in settled
        and not outcomes.missing(arm)
        and not frozen
        and not outcomes.seeds_do_nothing(arm)
    ]
    ranked = {arm: outcomes.values[arm] for arm in whole if outcomes.diverged(arm) + outcomes.diverged(study.baseline)}
    measured = {arm: outcomes.values[arm] for arm in whole if arm not in ranked}
    allowed = {arm: basis.allowed(arm, baseline, values) for arm, values in measured.items()}
    if basis.no_ranks:
        ranked = {}
    tested = run_primary(basis.design, study.level, baseline, measured, ranked, basis.prior, allowed)
    usual = Stopped(no_ranks=basis.no_ranks) if basis.no_ranks else USUAL
    rest = {
        arm: compare_arm(study, basis.design, outcomes, arm, tested.get(arm), usual)
        for arm in study.treatments
        if arm not in settled
    }
    return tuple(settled.get(arm) or rest[arm] for arm in study.treatments)


def compare_arm(
    study: StudyFacts,
    design: Design,
    outcomes: Outcomes,
    arm: str,
    tested: Tested | None,
    stopped: Stopped = USUAL,
) -> Comparison:
    """One arm; `tested` is None where it cannot be tested."""
    facts = _estimates(study, outcomes, arm)
    facts |= _failures(study, outcomes, arm)
    if tested is not None:
        facts |= _tested(study, design, tested)
    facts |= stopped.facts
    frozen = [name for name in (study.baseline, arm) if outcomes.seeds_do_nothing(name)]
    before = Comparison(arm=arm, verdict="inconclusive", **facts)
    after = decide(study, design, before, frozen, tested.direction if tested else 0.0, stopped)
    if after.verdict in ("inconclusive", "pilot") and not stopped.given_up:
        return after.model_copy(update=further(study, design, after))
    return after


def _estimates(study: StudyFacts, outcomes: Outcomes, arm: str) -> dict[str, Any]:
    """Descriptive numbers on the seeds where both runs finished; whatever they are conditional on is named."""
    b, a = outcomes.finished(arm)
    least = min(len(b), len(a))
    whole = len(b) == len(outcomes.values[study.baseline]) and len(a) == len(outcomes.values[arm])
    facts: dict[str, Any] = {"pairs": least}
    if least == 0 or arm in study.incomparable:
        return facts
    facts["gain"] = float((b - a).mean()) if study.paired else float(b.mean() - a.mean())
    if outcomes.missing(arm):
        facts["gain_condition"] = "incomplete: only seeds with both runs"
    elif not whole:
        facts["gain_condition"] = "conditional on finishing"
    if least < 2:
        return facts
    estimate = paired_t(b, a) if study.paired else welch(b, a)
    facts |= {"se": estimate.se, "df": estimate.df}
    if not whole:  # conditional numbers are shown as means only
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
    if mine + other and not study.pilot:
        facts["p_failures"] = more_failures_p(
            mine, other, len(outcomes.seeds[arm]), len(outcomes.seeds[study.baseline])
        )
    elif (
        not study.pilot
        and arm not in study.incomparable
        and not facts["missing_seeds"]
        and min(map(len, outcomes.finished(arm))) > 1
    ):
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
        "allowance": estimate.allowance or None,
        "df": estimate.df,
        "t": estimate.t,
        "interval": t_interval(estimate, 0.95),
        "interval90": t_interval(estimate, 0.9),
        "test_interval": interval(estimate, tested.critical),
        "p_equivalence": tost_p(estimate, study.margin),
        "p_separate": tested.p_separate,
        "noisy": tested.noisy,
        "smallest_detectable": detectable(
            design,
            estimate.sampling_se * float(np.sqrt(design.n_seeds)),
            study.level,
            study.power,
            estimate.allowance,
        ),
    }


def _outcome(run: RunFacts) -> float:
    if run.status == "finished" and run.value is not None and np.isfinite(run.value):
        return run.value
    return np.inf if run.status in ("finished", "diverged") else np.nan
