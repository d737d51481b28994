"""Logged arms of different length: where each is judged, how far its schedule had come, and what that forbids."""

import statistics
from collections.abc import Mapping, Sequence

from coregpt.lab.logs.files import LoggedArm
from coregpt.lab.logs.judge import is_full
from coregpt.report.drawing.numbers import listing, plural


def lengths(arm: LoggedArm) -> str:
    """How long the runs were planned, in words."""
    found = _planned(arm)
    return f"{listing([f'{length:,}' for length in found])} steps" if found else "an unknown number of steps"


def uneven(arms: Sequence[LoggedArm], steps: Mapping[str, int]) -> dict[str, float]:
    """The share of its planned steps that each arm has done where it is judged; empty if all have done the same."""
    shares = {arm.name: steps[arm.name] / max(found) for arm in arms if (found := _planned(arm))}
    return shares if len({round(share, 3) for share in shares.values()}) > 1 else {}


def incomparable(arms: Sequence[LoggedArm], baseline: str, steps: Mapping[str, int]) -> dict[str, str]:
    """Arms of another length than the baseline, and why their loss is not set against its loss.

    A length is what the logs say was planned, else the step the arm is judged at.
    """
    by_name = {arm.name: _planned(arm) or [steps[arm.name]] for arm in arms}
    return {
        arm.name: f"its runs were planned for {_steps(by_name[arm.name])}, those of {baseline} for "
        f"{_steps(by_name[baseline])}; a loss in mid-schedule, or after more training, ranks no technique"
        for arm in arms
        if by_name[arm.name] != by_name[baseline]
    }


def own_ends(arms: Sequence[LoggedArm], metric: str) -> str:
    """What the full runs of each arm reached at their own ends."""
    told = []
    for arm in arms:
        full = [run for run in arm.runs if is_full(run, metric)]
        if full:
            values = [list(run.curve(metric).values())[-1] for run in full]
            spread = f", sd {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            end = listing(sorted({f"{run.last_step:,}" for run in full}))
            told.append(
                f"{arm.name} {statistics.mean(values):.4f} after {end} steps ({plural(len(full), 'run')}{spread})"
            )
    return "; ".join(told)


def schedule_warnings(arms: Sequence[LoggedArm], metric: str, steps: Mapping[str, int]) -> list[str]:
    """How far each arm's schedule had come: a run in mid-schedule is not the finished technique."""
    shares = uneven(arms, steps)
    if not shares:
        return []
    told = listing([f"{name} {share:.0%}" for name, share in shares.items()])
    return [
        f"Mean {metric} at each arm's own end, which is not tested because the ends differ: {own_ends(arms, metric)}.",
        f"Where they are judged the arms have done different shares of their planned steps ({told}). The learning rate "
        "usually falls towards the planned end, so a run in mid-schedule still has much of its gain before it. Arms of "
        "different length are therefore called neither better nor worse; `--target` compares how soon each of them "
        "reaches a value of the metric in its own schedule.",
    ]


def _planned(arm: LoggedArm) -> list[int]:
    return sorted({run.planned for run in arm.runs if run.planned is not None})


def _steps(found: Sequence[int]) -> str:
    return f"{listing([f'{length:,}' for length in found])} steps"
