"""Multiply the learning rate stage by stage, but not the floor that its cooldown ends at, and hold the end for a while.

With f the `lr` schedule over the N steps before the extension, e its value at step N and m the multiple of the stage:

    lr = f + (m - 1) max(0, f - e) / (1 - e)        before step N;        lr = e        from there to the last step

For a cooldown f = (1 - t) + t e this is m (1 - t) + t e: stages with larger batches learn faster, and all end at e.
Without a schedule to cool down (e = 1) it is m f.

Suggested settings: with `batch_schedule`, whose own `lr` is set to ones: 1, 1.52, 1.73 in thirds and 15 steps of
extension (record 89); 1, 1.52, 1.73, 2 in 1/12, 1/12, 1/12 and the rest, extension 40, in the medium track.
When it hurts / conflicts: the extension is part of the run's budget; other schedules than `lr` see the whole run.
Source: modded-nanogpt record 46 (multiples) and 35 (extension), in the form of record 89.
"""

from collections.abc import Generator
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveFloat, model_validator

from coregpt.api import Clock, Plugin, PluginError, RunView, Schedule, Span, Stages, hookimpl

Answers = list[dict[str, Schedule]]


class StageRates(Plugin):
    """Goes around whoever owns `lr`."""

    after: ClassVar[tuple[str, ...]] = ("batch_schedule",)
    neutral: ClassVar[dict[str, Any] | None] = {"lr": (1.0,), "extension": 0}

    lr: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0, 1.52, 1.73)
    """m of each stage."""
    fractions: tuple[PositiveFloat, ...] | None = None
    """Share of all steps each stage takes, summing to 1. Empty: equal shares."""
    extension: Span = 0
    """Steps at the end that are held at e: below 1 a share of the run, from 1 on a number of steps."""

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.fractions is not None and len(self.fractions) != len(self.lr):
            raise ValueError(f"fractions has {len(self.fractions)} entries, but lr has {len(self.lr)} stages")
        if self.fractions is not None and abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, not {sum(self.fractions):g}")
        return self

    @hookimpl(wrapper=True)
    def add_schedules(self, run: RunView) -> Generator[None, Answers, Answers]:
        answers = yield
        if self.lr == (1.0,) and not self.extension:
            return answers
        if not any("lr" in answer for answer in answers):
            answers = [*answers, {"lr": lambda clock: 1.0}]
        return [
            {name: self.staged(each) if name == "lr" else each for name, each in answer.items()} for answer in answers
        ]

    def staged(self, schedule: Schedule) -> Schedule:
        shares = self.fractions or (1 / len(self.lr),) * len(self.lr)
        multiple = Stages(*zip([*list(accumulate(shares))[:-1], 1], self.lr, strict=True))

        def lr(clock: Clock) -> float:
            steps = clock.steps - round(clock.span(self.extension))
            if steps < 1:
                raise PluginError(f"stage_rates: an extension of {self.extension:g} in a run of {clock.steps} steps")
            f, e = (float(schedule(Clock(min(step, steps), steps))) for step in (clock.step, steps))
            above = max(0.0, f - e) / (1 - e) if e < 1 else f
            return f + (multiple(clock) - 1) * above

        return lr
