"""Also ask for the longest shorter token that the next one begins with.

With z the logits at a position, y its next token and P[y] the longest token whose bytes are a proper beginning of y's
(none for most short ones), over T positions:

    loss + weight / T  sum over t with a P[y_t] of CE(z_t, P[y_t])

The logits are those of the next token. `weight` is w until `hold`, then falls to zero at `end`. P is the input
`prefixes`: `coregpt tokenizer prefixes TOKENIZER --out prefixes.pt`, then `inputs: {prefixes: {file: prefixes.pt}}`.

Suggested settings: w 0.25 for a third of the run, falling for another (record 88).
When it hurts / conflicts: two answers are asked for at one position, so the loss itself must go away in time. Tokens of
single bytes have no prefixes: there it does nothing.
Source: modded-nanogpt record 88.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, model_validator
from torch import Tensor, nn

from coregpt.api import Clock, Context, ModelShape, Plugin, PluginError, Schedule, Share, Site, hookimpl

DIAL = "prefix_loss.weight"


def every_other(shape: ModelShape) -> dict[str, Tensor]:
    """A table as a tokenizer might have it: what the laws give this technique."""
    return {"prefix": torch.arange(shape.vocab) // 2 - 1}


class PrefixLoss(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"weight": 0.0}
    example_inputs: ClassVar[Mapping[str, Callable[[ModelShape], dict[str, Tensor]]]] = {"prefixes": every_other}

    weight: NonNegativeFloat = 0.25
    """w, of the second loss at first."""
    hold: Share = 1 / 3
    """Share of the run that has it in full."""
    end: Share = 2 / 3
    """Share of the run after which it is gone."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.hold:
            raise ValueError(f"end ({self.end:g}) may not be before hold ({self.hold:g})")
        return self

    @hookimpl
    def add_losses(self, at: Site) -> dict[str, nn.Module] | None:
        table = table_of(at)
        return {"prefix_loss": OfPrefixes(table)} if self.weight else None

    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {DIAL: self.now}

    def now(self, clock: Clock) -> float:
        """The weight before a step."""
        hold, end = round(self.hold * clock.steps), round(self.end * clock.steps)
        return self.weight * min(1.0, max(0.0, (end - clock.step) / max(1, end - hold)))


def table_of(at: Site) -> Tensor:
    """P (V,) int64, -1 for ids without one, which ids beyond the tokenizer's are."""
    given = at.input("prefixes").weights
    if "prefix" not in given or given["prefix"].dim() != 1 or len(given["prefix"]) > at.shape.vocab:
        raise PluginError(
            f"prefix_loss: the input 'prefixes' must hold one table 'prefix' of at most {at.shape.vocab} ids, as "
            "`coregpt tokenizer prefixes` writes it"
        )
    table = F.pad(given["prefix"].long(), (0, at.shape.vocab - len(given["prefix"])), value=-1)
    has_numbers = type(table) is Tensor and not table.is_meta  # a plan has only shapes
    if has_numbers and not bool(((table >= -1) & (table < at.shape.vocab)).all()):
        raise PluginError(f"prefix_loss: the table in 'prefixes' has ids outside of -1 to {at.shape.vocab - 1}")
    return table


class OfPrefixes(nn.Module):
    """`(logits (B, T, V), targets (B, T), ctx) -> scalar`."""

    table: Tensor

    def __init__(self, table: Tensor):
        super().__init__()
        self.register_buffer("table", table, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        wanted = self.table[targets].flatten()
        total = F.cross_entropy(logits.flatten(0, 1), wanted, ignore_index=-1, reduction="sum")
        return ctx.dials[DIAL] * total / targets.numel()
