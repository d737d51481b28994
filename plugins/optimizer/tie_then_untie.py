"""Use one matrix as embedding and as head for the first part of the run, then let the two part.

Both exist from the start. The embedding begins as a copy of the head. While tied, both get the sum of their gradients,
so that they and their optimizer states stay equal; after the update the embedding is copied from the head once more,
which holds even under rules that would move the two apart. From the first step at or past `until` each has its own.

Suggested settings: 2/3 of the run (record 53); 1/6 in the medium track.
When it hurts / conflicts: parameters are counted twice from the start. The gradient clip counts the shared gradient
twice while they are tied. The head decides how both start, so it may not start at zero (`zero_init` with `head`), and
muP, which starts and scales the two differently, is refused. A factor on the embedding's learning rate alone counts
only once they part.
Source: modded-nanogpt records 51 and 53; Press & Wolf 2017, arXiv:1608.05859 (tied).
"""

from typing import Any, ClassVar

import torch
from torch import nn

from coregpt.api import Clock, Companion, Plugin, PluginError, RunView, Span, hookimpl

EMBEDDING, HEAD = "embedding.weight", "head.out.weight"


class TieThenUntie(Plugin):
    """Adds a companion; the model is untouched."""

    conflicts: ClassVar[tuple[str, ...]] = ("mup",)
    neutral: ClassVar[dict[str, Any] | None] = {"until": 0}

    until: Span = 2 / 3
    """First step with two matrices: below 1 a share of the run, from 1 on a step; 0 never ties."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        if self.until == 0:
            return None
        for path in (EMBEDDING, HEAD):
            if path not in run.params:
                raise PluginError(
                    f"tie_then_untie: there is no '{path}'; a plugin or model.tied put something else there"
                )
        embedding, head = run.params[EMBEDDING], run.params[HEAD]
        if embedding.shape != head.shape:
            raise PluginError(f"tie_then_untie: embedding {tuple(embedding.shape)} and head {tuple(head.shape)} differ")
        return Tie(embedding, head, self.until)


class Tie(Companion):
    """Keeps the two equal before `until`. Without a state of its own: equal weights are all there is to keep."""

    def __init__(self, embedding: nn.Parameter, head: nn.Parameter, until: float):
        self.embedding, self.head, self.until = embedding, head, until
        self.copy()

    def before_step(self, clock: Clock) -> None:
        if clock.step == 0 and not self.head.any():
            raise PluginError(
                "'tie_then_untie': the head starts at zero ('zero_init' may do that), and so would the embedding"
            )

    def tied(self, clock: Clock) -> bool:
        return clock.step < clock.span(self.until)

    def before_update(self, clock: Clock) -> None:
        if self.tied(clock):
            ours, theirs = self.embedding.grad, self.head.grad
            assert ours is not None
            assert theirs is not None
            theirs.add_(ours)
            ours.copy_(theirs)

    def after_update(self, clock: Clock) -> None:
        if self.tied(clock):
            self.copy()

    @torch.no_grad()
    def copy(self) -> None:
        self.embedding.copy_(self.head)
