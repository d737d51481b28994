"""Arms decided before the end of their study: recomputed from the runs, whatever was decided while they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coregpt.report.drawing.numbers import plural
from coregpt.report.facts.inputs import Decided, RunFacts, StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.stopping import ArmLooks, ArmPause, Look, Pause, Stopping
from coregpt.report.verdicts.basis import Basis
from coregpt.report.verdicts.compare import Outcomes, compare_arm
from coregpt.report.verdicts.rule import rule_of
from coregpt.stats.contrasts import paired_t, worst_rank
from coregpt.stats.design import Design
from coregpt.stats.partial import ABORT_BELOW, chance_at_pause
from coregpt.stats.power import critical_value
from coregpt.stats.primary import Tested
from coregpt.stats.sequential import LookResult
from coregpt.stats.stopping import Course, Rule, plain_interval, repeated_p, replay


@dataclass(frozen=True)
class Stops:
    """What was decided early: nothing in most studies."""

    rule: Rule | None
    courses: Mapping[str, Course]
    chances: Mapping[str, float | None]
    """Of a significant final result, by arm that may be left unfinished; None where it is not known yet."""

    @property
    def aborted(self) -> list[str]:
        return [arm for arm, chance in self.chances.items() if chance is not None and chance < ABORT_BELOW]

    def seeds(self, study: StudyFacts, arm: str) -> int:
        """How many seeds of an arm count."""
        if self.rule is None:
            return len(study.planned(arm))
        each = {name: course.needs or course.looks[-1].n for name, course in self.courses.items()}
        return max(each.values()) if arm == study.baseline else each[arm]


def find_stops(study: StudyFacts, basis: Basis, runs: Sequence[RunFacts]) -> Stops:
    """`runs` holds every planned cell, arms in order, seeds in order."""
    rule = rule_of(study)
    if rule is None and study.pause is None:
        return Stops(None, {}, {})
    values = Outcomes.of(study, runs).values
    baseline = values[study.baseline]
    if rule is not None:
        return Stops(rule, {arm: replay(rule, baseline, values[arm]) for arm in study.treatments}, {})
    assert study.pause is not None
    paused = {arm: np.array(each, dtype=np.float64) for arm, each in study.pause.losses.items()}
    critical = critical_value(basis.design, study.alpha)
    base = paused[study.baseline]
    return Stops(None, {}, {arm: chance_at_pause(base, baseline, paused[arm], critical) for arm in study.treatments})


def with_fates(study: StudyFacts, runs: Sequence[RunFacts], stops: Stops) -> list[RunFacts]:
    """The runs, saying which were not needed, which were not finished on purpose, and which do not count."""
    return [run.model_copy(update=_fate(study, run, stops)) for run in runs]


def _fate(study: StudyFacts, run: RunFacts, stops: Stops) -> dict[str, str]:
    waiting = run.status in ("missing", "spared", "aborted")
    if run.arm in stops.aborted and study.pause is not None:
        reason = f"not finished: its arm was given up at step {study.pause.step:,}"
        return {"status": "aborted", "reason": reason} if waiting else {"reason": _joined("not counted", run.reason)}
    seeds = stops.seeds(study, run.arm)
    if study.planned(run.arm).index(run.seed) < seeds or stops.rule is None:
        return {}
    decided = f"decided after {plural(seeds, 'seed')}"
    if waiting:
        return {"status": "spared", "reason": f"not needed: {decided}"}
    return {"reason": _joined(f"not counted: {decided}", run.reason)}


def _joined(first: str, then: str) -> str:
    return f"{first}; {then}" if then else first


def counted(study: StudyFacts, runs: Sequence[RunFacts], stops: Stops) -> list[RunFacts]:
    """The runs that the analysis uses."""
    aborted = stops.aborted
    place = {seed: i for i, seed in enumerate(study.seeds)}
    if stops.rule is None:
        return [run for run in runs if run.arm not in aborted]
    return [run for run in runs if place[run.seed] < stops.seeds(study, run.arm)]


def settled(study: StudyFacts, design: Design, runs: Sequence[RunFacts], stops: Stops) -> dict[str, Comparison]:
    """Comparisons of the arms that are judged by what was seen when they were decided."""
    if study.pause is not None:
        return {arm: _given_up(study, arm, stops.chances[arm] or 0.0) for arm in stops.aborted}
    return {arm: _at_stop(study, design, runs, stops, arm) for arm in stops.courses}


def _given_up(study: StudyFacts, arm: str, chance: float) -> Comparison:
    assert study.pause is not None
    where = f"aborted at step {study.pause.step:,} of {study.pause.steps:,}"
    cause = f"{where}: a significant difference was unlikely (P = {chance:.2g})"
    return Comparison(arm=arm, verdict="inconclusive", cause=cause)


def _at_stop(study: StudyFacts, design: Design, runs: Sequence[RunFacts], stops: Stops, arm: str) -> Comparison:
    course, rule, n = stops.courses[arm], stops.rule, stops.seeds(study, arm)
    assert rule is not None
    place = {seed: i for i, seed in enumerate(study.seeds)}
    own = Outcomes.of(study, [r for r in runs if r.arm in (arm, study.baseline) and place[r.seed] < n])
    if course.needs or any(own.seeds_do_nothing(name) for name in (arm, study.baseline)):
        return compare_arm(study, design, own, arm, None)
    tested, instead = _decided(study, design, rule, course.looks[-1], own.values[study.baseline], own.values[arm])
    return compare_arm(study, design, own, arm, tested, instead)


def _decided(
    study: StudyFacts, design: Design, rule: Rule, seen: LookResult, baseline: Any, arm: Any
) -> tuple[Tested, dict[str, Any]]:
    """The test of the look that decided; what holds for one look at a fixed number of seeds is left out."""
    arms = len(study.treatments)
    instead: dict[str, Any] = {"look": _look(rule, seen), "smallest_detectable": None}
    with np.errstate(invalid="ignore"):
        d = baseline - arm
    p = min(1.0, arms * repeated_p(rule, d))
    p = min(p, float(np.nextafter(study.alpha, 0))) if seen.decision == "reject" else max(p, study.alpha)
    if not np.isfinite(d).all():
        direction, _ = worst_rank(baseline, arm, paired=True)
        return Tested("signed-rank test at the last look, diverged runs ranked worst", direction, seen.p, p), instead
    estimate = paired_t(baseline, arm)
    instead |= {"interval": _finite(plain_interval(rule, d, 0.95)), "test_interval": _finite(seen.interval)}
    if seen.n < rule.sizes[-1]:
        instead |= {"interval90": None, "p_equivalence": None}
    return Tested(design.name, estimate.gain, seen.p, p, estimate), instead


def _finite(pair: tuple[float, float]) -> tuple[float, float] | None:
    return pair if np.isfinite(pair).all() else None


def _look(rule: Rule, seen: LookResult) -> Look:
    return Look(
        n=seen.n,
        planned=rule.sizes[-1],
        gain=seen.gain if np.isfinite(seen.gain) else None,
        p=seen.p,
        level=seen.level,
        interval=_finite(seen.interval),
        decision=seen.decision,
    )


def stopping_facts(study: StudyFacts, runs: Sequence[RunFacts], stops: Stops) -> Stopping | None:
    """Every look; None for a study that decides after all seeds. `runs` say their fates."""
    rule = stops.rule
    if rule is None:
        return None
    arms = tuple(
        ArmLooks(
            arm=arm,
            looks=tuple(_look(rule, seen) for seen in course.looks),
            decided=not course.needs,
            seeds=stops.seeds(study, arm),
        )
        for arm, course in stops.courses.items()
    )
    used = {(run.arm, run.seed) for run in counted(study, runs, stops)}
    extra = [r for r in runs if (r.arm, r.seed) not in used and r.status != "spared"]
    spared = sum(run.status == "spared" for run in runs)
    uncounted = tuple(run.run_id for run in extra)
    return Stopping(arms=arms, planned=len(runs), spared=spared, uncounted=uncounted)


def pause_facts(study: StudyFacts, runs: Sequence[RunFacts], stops: Stops) -> Pause | None:
    """Every arm at the pause; None for a study without one."""
    at = study.pause
    if at is None:
        return None
    paused = {arm: np.array(each, dtype=np.float64) for arm, each in at.losses.items()}
    base = paused[study.baseline]
    with np.errstate(invalid="ignore"):
        rest = Outcomes.of(study, runs).values[study.baseline] - base
        gains = {arm: float((base - paused[arm]).mean()) for arm in study.treatments}
    known = len(rest) > 1 and bool(np.isfinite(rest).all())
    arms = tuple(
        ArmPause(
            arm=arm,
            gain=gain if np.isfinite(gain) else None,
            chance=stops.chances[arm],
            aborted=arm in stops.aborted,
        )
        for arm, gain in gains.items()
    )
    unfinished = sum(run.status == "aborted" for run in runs)
    saved = unfinished * (at.steps - at.step) / (len(runs) * at.steps)
    return Pause(
        step=at.step, steps=at.steps, rest_sd=float(rest.std(ddof=1)) if known else None, arms=arms, saved=saved
    )


def stopping_notes(study: StudyFacts, stops: Stops) -> list[str]:
    """Where the ledger's decisions are not those that follow from the runs."""
    decided = {arm: course.looks[-1] for arm, course in stops.courses.items() if not course.needs}
    made: dict[str, tuple[int, str]] = {arm: (last.n, last.decision) for arm, last in decided.items()}
    for arm, chance in stops.chances.items():
        if chance is not None:
            made[arm] = len(study.seeds), "aborted" if chance < ABORT_BELOW else "continue"
    return [_differs(entry, made.get(entry.arm)) for entry in study.decided if _told(entry) != made.get(entry.arm)]


def _told(entry: Decided) -> tuple[int, str]:
    return entry.pairs, entry.decision


def _differs(entry: Decided, now: tuple[int, str] | None) -> str:
    follows = f"{now[1]} after {now[0]} seeds" if now else "no decision"
    return (
        f"The ledger recorded for {entry.arm}: {entry.decision} after {entry.pairs} seeds; from the runs follows "
        f"{follows}. The report goes by the runs."
    )
