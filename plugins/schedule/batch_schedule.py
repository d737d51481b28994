"""Train with small batches first and larger ones later, with a learning rate to match.

The steps of the run are cut in stages; stage i has batches of `batch[i]` x the run's batch_tokens, and every learning
rate is multiplied by `lr[i]`, on top of the `lr` schedule if there is one (with `lr_fractions` it turns at other steps
than the batch). Batches take rows from the stream in its order: no token is skipped or seen twice across a change.

Suggested settings: ratios 1 : 2 : 3 in equal thirds of the steps. The default lr 1, 1.52, 1.73 (2^0.6 and sqrt(3)) is
the newer records' (89). Record 46 has lr [1, 1.51, 1.93] (the batch to the power 0.6) and lr_fractions [0.33, 0.33,
0.34]; the medium track has batch 0.25, 0.5, 0.75, 1 with fractions 1/12, 1/12, 1/12, 9/12 and lr 1, 1.52, 1.73, 2.
The default batches keep the mean batch, and so the number of steps, of the run without a schedule; then the base
learning rate is that of the smallest batch.
When it hurts / conflicts: the number of steps follows from the token budget and the stages together, so runs with
other ratios have other step counts. The multiplier also scales a cooldown's floor (the records' floor is 0.1 of the
base rate in every stage).
Every batch must be whole rows, shared evenly by the ranks. Nothing else may own `batch_tokens`.
Source: Smith et al. 2018, arXiv:1711.00489; modded-nanogpt record 46.
"""

from collections.abc import Generator
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveFloat, model_validator

from coregpt.api import Plugin, PluginError, RunView, Schedule, Stages, hookimpl

Several = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
Answers = list[dict[str, Schedule]]


class BatchSchedule(Plugin):
    """Owns `batch_tokens` and multiplies `lr`."""

    neutral: ClassVar[dict[str, Any] | None] = {"batch": (1.0,), "lr": (1.0,)}

    batch: Several = (0.5, 1.0, 1.5)
    """Multiples of the run's batch_tokens, one per stage."""
    lr: Several = (1.0, 1.52, 1.73)
    """Multiples of every learning rate, one per stage."""
    fractions: tuple[PositiveFloat, ...] | None = None
    """Share of the steps each batch takes, summing to 1. Empty: equal shares."""
    lr_fractions: tuple[PositiveFloat, ...] | None = None
    """Share of the steps each multiple of the learning rate takes, summing to 1. Empty: as `fractions`."""

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        shares = {"fractions": self.fractions, "lr_fractions": self.lr_fractions}
        for name, values in {"lr": self.lr, **shares}.items():
            if values is not None and len(values) != len(self.batch):
                raise ValueError(f"{name} has {len(values)} entries, but batch has {len(self.batch)} stages")
        for name, values in shares.items():
            if values is not None and abs(sum(values) - 1) > 1e-6:
                raise ValueError(f"{name} must sum to 1, not {sum(values):g}")
        return self

    @hookimpl(wrapper=True)
    def add_schedules(self, run: RunView) -> Generator[None, Answers, Answers]:
        answers = yield
        if any("batch_tokens" in answer for answer in answers):
            raise PluginError("add_schedules at 'batch_tokens': claimed by 'batch_schedule' and another plugin")
        factor = self.stages(self.lr, self.lr_fractions or self.fractions)
        answers = [{name: _times(name, schedule, factor) for name, schedule in answer.items()} for answer in answers]
        if not any("lr" in answer for answer in answers):
            answers.append({"lr": lambda clock: float(factor(clock))})
        sizes = [_whole(multiple * run.batch_tokens, multiple) for multiple in self.batch]
        return [*answers, {"batch_tokens": self.stages(sizes, self.fractions)}]

    def stages(self, values: tuple[float, ...] | list[int], fractions: tuple[float, ...] | None) -> Stages:
        """The values as stages of the run."""
        shares = fractions or (1 / len(values),) * len(values)
        ends = [*list(accumulate(shares))[:-1], 1]
        return Stages(*zip(ends, values, strict=True))


def _times(name: str, schedule: Schedule, factor: Stages) -> Schedule:
    return (lambda clock: float(schedule(clock)) * factor(clock)) if name == "lr" else schedule


def _whole(tokens: float, multiple: float) -> int:
    if abs(tokens - round(tokens)) > 1e-6:
        raise PluginError(f"batch_schedule: {multiple:g} x batch_tokens = {tokens:g}, which is not whole")
    return round(tokens)
