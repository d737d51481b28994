"""Follow the schedules of a longer run, and stop before its end.

With S steps trained, every schedule is that of a run of N = S / (1 - by) steps, of which the last N - S are not made.

Suggested settings: by 0.0076 (record 8: 25 of 3,275 steps) to 0.015 (record 10: 50 of 3,300); record 46 counts 2,690 of
2,900, 0.0724.
When it hurts / conflicts: a cooldown that is cut off ends at a rate above its floor. It spends no fewer tokens: the
run is as long as it is declared, and what it follows is longer. A number of steps in a schedule (warmup 300) stays so;
shares are of the longer run. It goes around schedules alone: without one it does nothing, and what averages or swaps
weights by its own clock does not follow it.
Source: modded-nanogpt optimization track, records 8 and 10.
"""

from collections.abc import Generator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from coregpt.api import Clock, Plugin, Schedule, Stages, hookimpl

Answers = list[dict[str, Schedule]]


class EndEarly(Plugin):
    """Goes around all schedules."""

    after: ClassVar[tuple[str, ...]] = (
        "batch_schedule",
        "constant_matrices",
        "fast_slow_decay",
        "powercool",
        "scalar_freeze",
        "seq_len_schedule",
        "split_cooldown",
        "stage_rates",
        "wd_schedule",
        "window_stages",
        "window_warmup",
    )
    neutral: ClassVar[dict[str, Any] | None] = {"by": 0.0}

    by: Annotated[float, Field(ge=0, lt=1)] = 0.015
    """Share of the longer run that is not made."""

    @hookimpl(wrapper=True)
    def add_schedules(self) -> Generator[None, Answers, Answers]:
        answers = yield
        if not self.by:
            return answers
        return [{name: self.longer(each) for name, each in answer.items()} for answer in answers]

    def longer(self, schedule: Schedule) -> Schedule:
        """What it says in the longer run."""
        if isinstance(schedule, Stages):
            reached = [(end / (1 - self.by), value) for end, value in schedule.parts]
            kept = [part for part in reached if part[0] < 1]
            return Stages(*kept, (1, reached[len(kept)][1]))
        return lambda clock: schedule(Clock(clock.step, round(clock.steps / (1 - self.by))))
