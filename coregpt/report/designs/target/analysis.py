"""Which arms reach the target, from which step on, and how soon: tests of the loss first, then first crossings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.runs import RunFacts
from coregpt.report.facts.target import Arrival, Axis, Race, TargetClaim, Targets
from coregpt.report.verdicts.compare import Outcomes
from coregpt.stats.contrasts import contrast, paired_t, t_interval, welch
from coregpt.stats.ratios import log_ratio
from coregpt.stats.survival import (
    Crossing,
    first_crossing,
    kaplan_meier,
    log_rank,
    restricted_mean,
)
from coregpt.stats.target import (
    ALPHA,
    MIN_RUNS,
    earliest_step,
    fixed_sigma_p,
    speedrun_rule,
    speedrun_score,
    target_test,
)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Crossings:
    """First crossings of one arm's runs, infinite for one that diverged, and where its budget ends."""

    times: Vector
    reached: NDArray[np.bool_]
    end: float


def find_targets(study: StudyFacts, runs: Sequence[RunFacts]) -> Targets | None:
    """Claims and races of every arm that is not set aside; None where no target was declared."""
    if study.target is None:
        return None
    values = Outcomes.of(study, runs).values
    by_arm = _by_arm(study, runs)
    claims = tuple(_claim(study.target, arm, values[arm], own) for arm, own in by_arm.items())
    counted: tuple[Axis, ...] = ("steps", "tokens", "flops")
    races = tuple(race for axis in counted if (race := _race(study, by_arm, axis)) is not None)
    return Targets(target=study.target, level=ALPHA, claims=claims, races=races)


def race_in_seconds(study: StudyFacts, runs: Sequence[RunFacts]) -> Race | None:
    """First crossings by the clock; None without a target, where a run was not timed, or of unknown machines."""
    return None if study.target is None or study.imported else _race(study, _by_arm(study, runs), "seconds")


def target_headline(study: StudyFacts, found: Targets) -> str:
    """Who claims the target, the earliest first, for studies whose arms are compared in nothing else."""
    claims = sorted((c.earliest_step, c.arm) for c in found.claims if c.earliest_step is not None)
    others = [c.arm for c in found.claims if c.earliest_step is None]
    text = f"no arm is shown to reach {study.metric} {found.target:g}"
    if claims:
        told = listing([f"{arm} (step {step:,})" for step, arm in claims])
        text = f"{study.metric} {found.target:g} is shown to be reached, the earliest first, by {told}"
        text += f"; not shown for {listing(others)}" if others else ""
    return f"{'Exploratory: ' if study.exploratory else ''}{text}."


def _by_arm(study: StudyFacts, runs: Sequence[RunFacts]) -> dict[str, list[RunFacts]]:
    names = [arm.name for arm in study.arms if arm.name not in study.aside]
    return {name: [run for run in runs if run.arm == name] for name in names}


# -- the loss against the target -------------------------------------------------------------------------------


def _claim(target: float, arm: str, values: Vector, runs: Sequence[RunFacts]) -> TargetClaim:
    cause = _no_claim(values)
    if cause:
        return TargetClaim(arm=arm, claimed=False, cause=cause, n=len(values))
    found = target_test(values, target)
    return TargetClaim(
        arm=arm,
        claimed=found.passed,
        n=found.n,
        mean=found.mean,
        sd=found.sd,
        t=found.t,
        p=found.p,
        earliest_step=_earliest(target, runs) if found.passed else None,
        fixed_sigma_score=speedrun_score(found.mean, found.n, target),
        fixed_sigma_p=fixed_sigma_p(found.mean, found.n, target),
        fixed_sigma_claims=speedrun_rule(found.mean, found.n, target),
    )


def _no_claim(values: Vector) -> str:
    if absent := int(np.isnan(values).sum()):
        return f"{plural(absent, 'run')} without an outcome"
    if lost := int(np.isinf(values).sum()):
        return f"{lost} of {plural(len(values), 'run')} diverged, and a diverged run reaches nothing"
    if len(values) < MIN_RUNS:
        return f"a test needs at least {MIN_RUNS} runs, there are {len(values)}"
    if np.ptp(values) == 0:
        return "all runs ended at exactly the same value, so they are one observation"
    return ""


def _earliest(target: float, runs: Sequence[RunFacts]) -> int | None:
    """Over the steps at which every run was evaluated."""
    curves = [{point.step: point.value for point in run.curve} for run in runs]
    steps = sorted(set.intersection(*map(set, curves)))
    return earliest_step(steps, np.array([[curve[step] for step in steps] for curve in curves]), target)


# -- first crossings -------------------------------------------------------------------------------------------


def _race(study: StudyFacts, by_arm: dict[str, list[RunFacts]], axis: Axis) -> Race | None:
    finished = [run for runs in by_arm.values() for run in runs if run.status == "finished"]
    if not finished or any(_along(run, axis) is None for run in finished):
        return None
    found = {arm: _crossings(runs, axis, study.target or 0.0) for arm, runs in by_arm.items()}
    baseline = found[study.baseline]
    arrivals = tuple(
        _arrival(study, arm, len(by_arm[arm]), own, None if arm == study.baseline else baseline)
        for arm, own in found.items()
    )
    end = max(float(x[-1]) for run in finished if (x := _along(run, axis)) is not None)
    return Race(axis=axis, end=end, arrivals=arrivals)


def _along(run: RunFacts, axis: Axis) -> Vector | None:
    """Position of each evaluation on the axis; None where one is unknown or there is none."""
    if axis == "seconds":
        return np.array(run.timing.seconds) if run.timing.seconds else None
    x: list[float | None] = [getattr(point, "step" if axis == "steps" else axis) for point in run.curve]
    return None if None in x or not x else np.array(x, dtype=np.float64)


def _crossings(runs: Sequence[RunFacts], axis: Axis, target: float) -> _Crossings | None:
    """First crossing of every run; None if a run has no outcome. A run that diverges never gets there."""
    found, ends = [], []
    for run in runs:
        x = _along(run, axis)
        if run.status == "diverged":
            found.append(Crossing(np.inf, False))
        elif run.status != "finished" or x is None:
            return None
        else:
            found.append(first_crossing(x, np.array([point.value for point in run.curve]), target))
            ends.append(float(x[-1]))
    times, reached = (np.array(column) for column in zip(*((c.at, c.reached) for c in found), strict=True))
    return _Crossings(times, reached, min(ends, default=np.inf))


def _arrival(study: StudyFacts, arm: str, runs: int, own: _Crossings | None, baseline: _Crossings | None) -> Arrival:
    if own is None:
        return Arrival(arm=arm, runs=runs, reached=0, cause="a run has no outcome")
    curve = kaplan_meier(own.times, own.reached)
    steps = tuple(zip(curve.times.tolist(), curve.share.tolist(), strict=True))
    facts: dict[str, Any] = {"arm": arm, "runs": runs, "reached": int(own.reached.sum()), "still_above": steps}
    horizon = _horizon([own, *([baseline] if baseline else [])])
    if np.isfinite(horizon):
        facts |= {"horizon": horizon, "restricted_mean": restricted_mean(own.times, own.reached, horizon)}
    if own.reached.all() and runs >= MIN_RUNS:
        mean = contrast(float(own.times.mean()), float(own.times.std(ddof=1) / np.sqrt(runs)), runs - 1)
        facts |= {"mean": mean.gain, "mean_interval": t_interval(mean, 0.95)}
    if baseline is not None and min(runs, len(baseline.times)) >= MIN_RUNS:
        facts |= _saved(study, own, baseline, horizon) | _speed_up(study, arm, own, baseline)
    return Arrival(**facts)


def _horizon(compared: Sequence[_Crossings]) -> float:
    """Up to where it is known of every run when it got there: infinite if all did, however long each was trained.

    A run that never got there is known to its end; one that diverged for ever, so that it is cut where all others are
    known or have got there.
    """
    censored = [float(t) for each in compared for t in each.times[~each.reached] if np.isfinite(t)]
    if censored or all(each.reached.all() for each in compared):
        return min(censored, default=np.inf)
    there = [float(t) for each in compared for t in each.times[each.reached]]
    return max([min(each.end for each in compared), *there])


def _saved(study: StudyFacts, own: _Crossings, baseline: _Crossings, horizon: float) -> dict[str, Any]:
    """Cut at the horizon, before which no run is censored, times are plain numbers and arms can be exchanged.

    Where no run of one of them got there before it, there is no time to compare: a difference would tell the horizon.
    """
    b, a = np.minimum(baseline.times, horizon), np.minimum(own.times, horizon)
    there_b, there_a = (each.reached & (each.times <= horizon) for each in (baseline, own))
    facts: dict[str, Any] = {"p_log_rank": log_rank(b, there_b, a, there_a, paired=study.paired).p}
    if there_b.any() and there_a.any() and (np.isfinite(horizon) or not np.isinf([*b, *a]).any()):
        saved = paired_t(b, a) if study.paired else welch(b, a)
        facts |= {"saved": saved.gain, "saved_interval": t_interval(saved, 0.95), "p_saved": saved.p}
    return facts


def _speed_up(study: StudyFacts, arm: str, own: _Crossings, baseline: _Crossings) -> dict[str, Any]:
    both = ((study.baseline, baseline.reached), (arm, own.reached))
    never = [f"{int((~there).sum())} of {len(there)} runs of {name}" for name, there in both if not there.all()]
    if never:
        return {"no_ratio": f"censored: {' and '.join(never)} never reached it"}
    if min(baseline.times.min(), own.times.min()) <= 0:
        return {"no_ratio": "a run starts below the target"}
    ratio = log_ratio(baseline.times, own.times, paired=study.paired)
    return {"ratio": ratio.value, "ratio_interval": ratio.interval}
