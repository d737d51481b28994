"""Lookahead: every few steps weights go back part of the way to where they were.

Suggested settings: 5 steps, half of the way.
When it hurts / conflicts: nothing known. A second copy of the weights in memory.
Source: Zhang et al. 2019, arXiv:1907.08610; replace this card by yours.
"""

from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, RunView, Share, hookimpl


class Lookahead(Companion):
    """Every k steps: slow <- slow + share (w - slow), w <- slow."""

    def __init__(self, run: RunView, steps: int, share: float):
        self.params, self.steps, self.share = run.params, steps, share
        self.slow = {path: param.detach().clone() for path, param in run.params.items()}

    def after_update(self, clock: Clock) -> None:
        if (clock.step + 1) % self.steps == 0:
            for path, slow in self.slow.items():
                slow.lerp_(self.params[path], self.share)
                self.params[path].copy_(slow)

    def state_dict(self) -> dict[str, Tensor | Any]:
        """Without this a resumed run would go another way; a law checks it."""
        return dict(self.slow)

    def load_state_dict(self, state: dict[str, Tensor | Any]) -> None:
        for path, slow in self.slow.items():
            slow.copy_(state[path])


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"share": 1.0}

    steps: PositiveInt = 5
    """How often weights go back."""
    share: Share = 0.5
    """How much of the way since the last time is kept."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return None if self.share == 1 else Lookahead(run, self.steps, self.share)
