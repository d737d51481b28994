"""Train on short sequences first and on whole rows later.

The steps of the run are cut in stages; in stage i a row of T = `model.context` tokens is cut into sequences of
floor(`length[i]` x T) tokens, which do not see each other. What is left over at a row's end is not trained on in that
step and does not count in the budget, so a length that divides T wastes nothing. Rows are taken in the order of a run
without the schedule; evaluation always sees whole rows.

Suggested settings: the defaults, which are those of the record: 896 of 2048 tokens in the first third of the steps,
then all. With windows on a GPU, lengths that are multiples of 128.
When it hurts / conflicts: a batch has as many rows as ever, so steps of a stage with left-overs train on fewer tokens
and the same budget has more steps. With learned positions the late ones learn nothing in short stages. The record
bounds the length of documents inside a packed row and drops the rest of a document; here rows are cut where they stand.
Nothing else may own `seq_len`.
Source: modded-nanogpt record 72; Li et al. 2022, arXiv:2108.06084.
"""

from itertools import accumulate
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveFloat, model_validator

from coregpt.api import Plugin, PluginError, RunView, Schedule, Stages, hookimpl

Lengths = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]


class SeqLenSchedule(Plugin):
    """Owns `seq_len`."""

    neutral: ClassVar[dict[str, Any] | None] = {"length": (1.0,), "fractions": (1.0,)}

    length: Lengths = (0.4375, 1.0)
    """Share of `model.context` that a sequence has, one per stage."""
    fractions: tuple[PositiveFloat, ...] = (1 / 3, 2 / 3)
    """Share of the steps each stage takes, summing to 1."""

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if len(self.fractions) != len(self.length):
            raise ValueError(f"fractions has {len(self.fractions)} entries, but length has {len(self.length)} stages")
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, not {sum(self.fractions):g}")
        return self

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        ends = [*list(accumulate(self.fractions))[:-1], 1]
        lengths = [tokens_of(share, run.shape.context) for share in self.length]
        return {"seq_len": Stages(*zip(ends, lengths, strict=True))}


def tokens_of(share: float, context: int) -> int:
    """Whole tokens; what is whole in exact arithmetic is whole here."""
    tokens = int(round(share * context, 6))
    if tokens < 1:
        raise PluginError(f"seq_len_schedule: {share:g} of a context of {context} is less than one token")
    return tokens
