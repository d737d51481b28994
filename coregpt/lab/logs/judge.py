"""At which step runs of different lengths are compared, and what each of them had reached there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coregpt.contract.errors import ConfigError
from coregpt.lab.logs.files import LoggedArm
from coregpt.lab.logs.parse import LoggedRun


@dataclass(frozen=True)
class Judged:
    """One run at the judged step: `value` is None unless it got there."""

    status: Literal["finished", "diverged", "failed"]
    value: float | None
    reason: str = ""


def metrics(arms: Sequence[LoggedArm]) -> list[str]:
    """Every metric that every arm has at least once."""
    each = [{name for run in arm.runs for name in run.readings} for arm in arms]
    return sorted(set.intersection(*each)) if each else []


def check_metric(arms: Sequence[LoggedArm], metric: str) -> None:
    """Raises ConfigError if an arm never logs the metric."""
    without = [arm.name for arm in arms if not any(run.curve(metric) for run in arm.runs)]
    if without:
        known = ", ".join(metrics(arms)) or "none"
        raise ConfigError(f"--metric {metric}: never logged by {', '.join(without)}; logged by every arm: {known}")


def mark_ends(arms: Sequence[LoggedArm], metric: str) -> None:
    """Find runs whose last evaluation is missing though their logs go on; each is named in its arm's warnings.

    One is due a rhythm after the last one, or where another run of the arm and length has one.
    """
    for arm in arms:
        latest: dict[int | None, int] = {}
        for run in arm.runs:
            latest[run.planned] = max(latest.get(run.planned, 0), _last(run, metric))
        for run in arm.runs:
            steps = sorted(run.curve(metric))
            due = [2 * steps[-1] - steps[-2]] if len(steps) > 1 else []
            due += [latest[run.planned]] if latest[run.planned] > _last(run, metric) else []
            run.lacks_end = any(step <= run.last_step for step in due)
            if run.lacks_end:
                arm.warnings.append(
                    f"{run.name} is incomplete: it goes on to step {run.last_step:,}, and its last {metric} is that of "
                    f"step {_last(run, metric):,}."
                )


def is_full(run: LoggedRun, metric: str) -> bool:
    """Whether the run reached the end of its schedule with a finite metric."""
    return _reached(run, metric) and run.diverged_at(metric) is None


def _reached(run: LoggedRun, metric: str) -> bool:
    return bool(run.curve(metric)) and not run.ended_early() and not run.lacks_end


def _last(run: LoggedRun, metric: str) -> int:
    return max(run.curve(metric), default=0)


def last_common_step(arms: Sequence[LoggedArm], metric: str) -> int:
    """The last step at which every full run of every arm logs the metric. Raises ConfigError if there is none.

    Of an arm whose runs were all lost those count that were evaluated to their end.
    """
    steps: set[int] | None = None
    for arm in arms:
        full = [run for run in arm.runs if is_full(run, metric)] or [run for run in arm.runs if _reached(run, metric)]
        if not full:
            raise ConfigError(
                f"{arm.name}: no run reached the end of its schedule, so there is no common end; name one with --step N"
            )
        for run in full:
            steps = set(run.curve(metric)) if steps is None else steps & set(run.curve(metric))
    if not steps or max(steps) == 0:
        raise ConfigError(
            f"no step after 0 at which all runs log {metric}: they are evaluated at different steps; "
            "choose arms that share one with --arm NAME=GLOB"
        )
    return max(steps)


def check_step(arms: Sequence[LoggedArm], metric: str, step: int) -> None:
    """Raises ConfigError if no run of some arm logs the metric at this step; names the steps that would do."""
    without = [arm.name for arm in arms if not any(step in run.curve(metric) for run in arm.runs)]
    if without:
        curves = [set().union(*(run.curve(metric) for run in arm.runs)) for arm in arms]
        shared = sorted(set.intersection(*curves))
        near = sorted(sorted(shared, key=lambda s: abs(s - step))[:4])
        raise ConfigError(
            f"--step {step}: {', '.join(without)} has no {metric} there; "
            f"steps of all arms nearest to it: {', '.join(map(str, near)) or 'none'}"
        )


def judge(run: LoggedRun, metric: str, step: int) -> Judged:
    """Finished if the run has a finite metric at the step, diverged if it was lost by then, else failed."""
    curve = run.curve(metric)
    lost = run.diverged_at(metric)
    if lost is not None and lost <= step:
        return Judged("diverged", None, f"{metric} is no finite number from step {lost} on")
    if step in curve and math.isfinite(curve[step]):
        return Judged("finished", curve[step], _tail(run, metric))
    if run.last_step < step:
        planned = f" of {run.planned} planned" if run.planned else ""
        return Judged("failed", None, f"the log ends at step {run.last_step}{planned}")
    ends = f"; the last one is of step {_last(run, metric):,}" if run.lacks_end else ""
    return Judged("failed", None, f"{metric} was not logged at step {step}{ends}")


def _tail(run: LoggedRun, metric: str) -> str:
    lost = run.diverged_at(metric)
    if lost is not None:
        return f"diverged later, at step {lost}"
    return f"stopped later, at step {run.last_step} of {run.planned}" if run.ended_early() else ""
