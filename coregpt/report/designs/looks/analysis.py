"""Arms decided before all seeds: every look again, from the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coregpt.report.designs.early import Early, not_counted, waiting
from coregpt.report.designs.looks.rule import rule_of
from coregpt.report.drawing.numbers import plural
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.looks import ArmLooks, Look, Stopping
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts
from coregpt.report.verdicts.compare import Outcomes, compare_arm
from coregpt.report.verdicts.verdict import Stopped
from coregpt.stats.contrasts import paired_t, worst_rank
from coregpt.stats.design import Design
from coregpt.stats.looks.sequential import LookResult
from coregpt.stats.looks.stopping import Course, Rule, plain_interval, repeated_p, replay
from coregpt.stats.primary import Tested


@dataclass(frozen=True)
class Stops:
    """The looks at every arm that is compared."""

    rule: Rule
    courses: Mapping[str, Course]

    def seeds(self, arm: str) -> int:
        """How many seeds of an arm count; the baseline has as many as any arm needs."""
        each = {name: course.needs or course.looks[-1].n for name, course in self.courses.items()}
        return each.get(arm, max(each.values()))


def decide_by_looks(study: StudyFacts, design: Design, runs: Sequence[RunFacts]) -> Early | None:
    """None for a study that decides after all seeds. `runs` holds every planned cell, arms and seeds in order."""
    rule = rule_of(study)
    if rule is None:
        return None
    values = Outcomes.of(study, runs).values
    stops = Stops(rule, {arm: replay(rule, values[study.baseline], values[arm]) for arm in study.treatments})
    place = {seed: i for i, seed in enumerate(study.seeds)}
    told = [run if place[run.seed] < stops.seeds(run.arm) else _beyond(run, stops.seeds(run.arm)) for run in runs]
    counted = [run for run in told if place[run.seed] < stops.seeds(run.arm)]
    settled = {arm: _at_stop(study, design, told, stops, arm) for arm in stops.courses}
    return Early(told, counted, settled, {"stopping": _stopping(stops, told, counted)})


def _beyond(run: RunFacts, seeds: int) -> RunFacts:
    """A run after its arm was decided."""
    decided = f"decided after {plural(seeds, 'seed')}"
    spared = {"status": "spared", "reason": f"not needed: {decided}"}
    return run.model_copy(update=spared if waiting(run) else not_counted(run, decided))


def _at_stop(study: StudyFacts, design: Design, runs: Sequence[RunFacts], stops: Stops, arm: str) -> Comparison:
    course, rule, n = stops.courses[arm], stops.rule, stops.seeds(arm)
    place = {seed: i for i, seed in enumerate(study.seeds)}
    own = Outcomes.of(study, [r for r in runs if r.arm in (arm, study.baseline) and place[r.seed] < n])
    if course.needs or any(own.seeds_do_nothing(name) for name in (arm, study.baseline)):
        return compare_arm(study, design, own, arm, None)
    seen = course.looks[-1]
    tested, instead = _decided(study, design, rule, seen, own.values[study.baseline], own.values[arm])
    return compare_arm(study, design, own, arm, tested, _stopped(study, seen, instead))


def _stopped(study: StudyFacts, seen: LookResult, facts: Mapping[str, Any]) -> Stopped:
    """What the look says in place of a test at the end; e-values have no level, and none is left for ranks."""
    ranks = "a diverged run has no gain to weigh, and an e-value leaves no alpha for ranks"
    gain = study.rule.futility if study.rule is not None and seen.decision == "futile" else None
    return Stopped(
        facts=facts,
        given_up="" if gain is None else f"stopped for futility: a gain of {gain:g} or more is unlikely",
        no_ranks=ranks if seen.level == 0 else "",
    )


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


def _stopping(stops: Stops, runs: Sequence[RunFacts], counted: Sequence[RunFacts]) -> Stopping:
    """Every look. `runs` say what became of them."""
    arms = tuple(
        ArmLooks(
            arm=arm,
            looks=tuple(_look(stops.rule, seen) for seen in course.looks),
            decided=not course.needs,
            seeds=stops.seeds(arm),
        )
        for arm, course in stops.courses.items()
    )
    used = {(run.arm, run.seed) for run in counted}
    extra = [r for r in runs if (r.arm, r.seed) not in used and r.status != "spared"]
    spared = sum(run.status == "spared" for run in runs)
    uncounted = tuple(run.run_id for run in extra)
    return Stopping(arms=arms, planned=len(runs), spared=spared, uncounted=uncounted)
