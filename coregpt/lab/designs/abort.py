"""Studies that do not finish arms without prospects: `test: {abort: 0.7}`.

The baseline is trained to its end, every other run to the pause. An arm is decided when the baseline is complete and
all of its runs have come to the pause: it is finished only if its chance of a significant final result is not small.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Decision, Design, Task, Verdict
from coregpt.lab.records.losses import at_step, final
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Outline, Plan
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.readings import Reading, evaluated
from coregpt.lab.study.whereabouts import where
from coregpt.stats.design import choose_test
from coregpt.stats.looks.partial import ABORT_BELOW, FEWEST_SEEDS, chance_at_pause
from coregpt.stats.power import critical_value


class Abort(Design):
    """The baseline is trained to its end, every other run to the pause, and on only where that has prospects."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("abort"):
            yield "test.abort"

    def test_problems(self, file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
        if test.get("abort") is not None and test.get("pilot") is True:
            yield ("abort",), "gives arms up for want of a verdict, and a pilot has none; remove one of them"
        if test.get("abort") is not None and 0 < seeds < FEWEST_SEEDS:
            yield ("abort",), f"needs at least {FEWEST_SEEDS} seeds to know how runs scatter after it, got {seeds}"

    def settle(self, outlined: Outline) -> Outline:
        if outlined.study.criterion.abort is not None:
            check(outlined)
        return outlined

    def readings(self, outlined: Outline) -> Iterator[Reading]:
        if outlined.study.criterion.abort is not None:
            yield "select", pause_step(outlined)

    def wave(self, plan: Plan, store: Path) -> Iterator[Task] | None:
        """Runs to their end, or to the pause while their arm is not decided; none of an arm that is not finished."""
        return None if plan.study.criterion.abort is None else needed(plan, store)

    def decisions(self, plan: Plan, store: Path) -> dict[str, Decision]:
        if plan.study.criterion.abort is None:
            return {}
        ends: dict[str, Verdict] = {
            arm: "aborted" if chance < ABORT_BELOW else "continue" for arm, chance in chances(plan, store).items()
        }
        return {arm: Decision(len(plan.study.seeds), end, WORDS[end]) for arm, end in ends.items()}

    def fresh(self, study: Study) -> Study:
        return replace(study, criterion=study.criterion.model_copy(update={"abort": None}))

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        """Where arms pause, and what that can save."""
        if plan.study.criterion.abort is None:
            return []
        step, steps = pause_step(plan), plan.costs[plan.baseline.name].steps
        others = len(plan.study.compared) - 1
        saved = others * (steps - step) / (len(plan.study.compared) * steps)
        return [
            f"All arms but {plan.baseline.name} pause at step {step:,} of {steps:,}; those whose chance of a "
            f"significant result is under {ABORT_BELOW:.0%} are not finished. At most {saved:.0%} of all steps are "
            "saved.",
            "Not for techniques that act late, such as schedules, averaging or weight decay: they are judged before.",
        ]


WORDS: dict[Verdict, str] = {
    "aborted": "not finished: a significant difference is unlikely",
    "continue": "worth finishing",
}


def check(outlined: Outline) -> None:
    """Raises ConfigError if arms are not comparable at the pause, or there is no evaluation to pause at."""
    study = outlined.study
    place = where(study, "test", "abort")
    steps = {arm.name: outlined.costs[arm.name].steps for arm in study.compared}
    for what, counts in (("steps", steps), ("evaluations", {arm.name: arm.run.evals for arm in study.compared})):
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{count:,} in '{arm}'" for arm, count in counts.items())
            matched = study.designs.get("match") == "flops" and what == "steps"
            why = " ('match: flops' sets their tokens)" if matched else ""
            text = f"all arms must have the same number of {what} to be compared half-way: {each}{why}"
            raise ConfigError(f"{place}: {text}")
    if not _between(outlined):
        raise ConfigError(f"{place}: there is no evaluation between start and end to pause at; set evals to 10 or more")


def pause_step(outlined: Outline) -> int:
    """The evaluated step nearest to the declared share of the run."""
    share, steps = outlined.study.criterion.abort, outlined.costs[outlined.baseline.name].steps
    assert share is not None
    return min(_between(outlined), key=lambda step: abs(step - share * steps))


def _between(outlined: Outline) -> list[int]:
    """Evaluated steps after the start and before the end."""
    steps = outlined.costs[outlined.baseline.name].steps
    return sorted(evaluated(outlined.baseline.run, steps) - {0, steps})


def needed(plan: Plan, store: Path) -> Iterator[Task]:
    """See `Abort.wave`."""
    found, step = chances(plan, store), pause_step(plan)
    for run in plan.runs:
        if run.arm == plan.baseline.name or found.get(run.arm, 0.0) >= ABORT_BELOW:
            yield Task(run)
        elif run.arm not in found:
            yield Task(run, step)


def critical(study: Study) -> float:
    """The |t| that a final comparison must exceed."""
    return critical_value(choose_test(len(study.seeds), len(study.compared) - 1), study.criterion.alpha)


def chances(plan: Plan, store: Path) -> dict[str, float]:
    """Of every arm that can be decided: its chance of a significant final result."""
    losses, base = losses_at_pause(plan, store), plan.baseline.name
    ended = ends(plan, store)
    if None in ended:
        return {}
    paused, last = np.array(losses.pop(base), dtype=np.float64), np.array(ended, dtype=np.float64)
    limit = critical(plan.study)
    found = {arm: chance_at_pause(paused, last, np.array(own, dtype=np.float64), limit) for arm, own in losses.items()}
    return {arm: chance for arm, chance in found.items() if chance is not None}


def ends(plan: Plan, store: Path) -> list[float | None]:
    """Final losses of the baseline on `select` in seed order, inf if the run diverged, None if it is not complete."""
    own = [run for run in plan.runs if run.arm == plan.baseline.name]
    return [final(RunFolder(store / run.id), "select") for run in own]


def losses_at_pause(plan: Plan, store: Path) -> dict[str, list[float | None]]:
    """Per arm in seed order: loss on `select` at the pause, inf if the run diverged before, None if not there yet."""
    found: dict[str, list[float | None]] = {arm.name: [] for arm in plan.study.compared}
    step = pause_step(plan)
    for run in plan.runs:
        found[run.arm].append(at_step(RunFolder(store / run.id), step, "select"))
    return found
