"""Hold gains, biases and other single numbers still for some steps after the batch, the length or a window changes.

After every step at which a staged dial takes another value (`batch_tokens`, `seq_len`, windows), parameters of the role
`scalar` stay as they are for `steps` steps, to the bit; their gradients go nowhere, moments included.

Suggested settings: 40 steps (record 52), with `batch_schedule`, `seq_len_schedule` or `window_stages`.
When it hurts / conflicts: without such a change it does nothing. Windows that grow smoothly change in no one step.
Source: modded-nanogpt record 52, which does not say what becomes of the moments; here they wait too.
"""

from collections.abc import Generator, Iterable
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from coregpt.api import Clock, DecayRule, Dials, ParamGroup, Plugin, Schedule, Stages, UpdateRule, hookimpl

DIAL = "scalar_freeze.moves"
Answers = list[dict[str, Schedule]]


class ScalarFreeze(Plugin):
    """Wraps updates and decay of scalars; adds a dial, which follows from all others."""

    after: ClassVar[tuple[str, ...]] = (
        "adam_every_other_step",
        "batch_schedule",
        "cautious_adam",
        "cautious_wd",
        "fast_slow_decay",
        "powercool",
        "seq_len_schedule",
        "split_cooldown",
        "wd_schedule",
        "window_stages",
        "window_warmup",
    )

    steps: PositiveInt = 40
    """How long scalars wait after a change."""

    @hookimpl(wrapper=True)
    def add_schedules(self) -> Generator[None, Answers, Answers]:
        answers = yield
        staged = [each for answer in answers for each in answer.values() if isinstance(each, Stages)]
        return [*answers, {DIAL: lambda clock: self.moves(clock, staged)}]

    def moves(self, clock: Clock, staged: Iterable[Stages]) -> float:
        """1 where scalars move, 0 where they wait."""
        return float(not any(self.waits(clock, each) for each in staged))

    def waits(self, clock: Clock, dial: Stages) -> bool:
        """Whether this dial has changed in one of the last steps."""
        seen = {dial(Clock(step, clock.steps)) for step in range(max(0, clock.step - self.steps), clock.step + 1)}
        return len(seen) > 1

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Waiting(rule) if group.role == "scalar" else rule

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return WaitingDecay(rule) if group.role == "scalar" else rule


def frozen(dials: Dials) -> bool:
    """Whether scalars wait in this step."""
    return float(dials[DIAL]) == 0


class Waiting:
    """The update rule `inner`, which is not asked while scalars wait."""

    def __init__(self, inner: UpdateRule):
        self.inner, self.lr, self.weight_decay = inner, inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        return torch.zeros_like(g) if frozen(dials) else self.inner.direction(p, g, state, dials)


class WaitingDecay:
    """The decay rule `inner`, likewise."""

    def __init__(self, inner: DecayRule):
        self.inner = inner

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        return torch.zeros_like(p) if frozen(dials) else self.inner.amount(p, update, lr, weight_decay, dials)
