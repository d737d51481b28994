"""Widen attention's window in a few jumps: long windows in chosen layers, short ones in all others.

The steps of the run are cut in stages; in stage i a query sees the last `long[i]` keys, itself included, in
`long_layers` and the last `short[i]` in the others, both as shares of the context, rounded up to a multiple of `step`
tokens. With `block` only whole blocks are hidden, as in `window_warmup`. The windows are dials, not new graphs.

Suggested settings: the defaults: 3, 7, 11 and 1, 3, 5 blocks of 128 in a context of 2048, in equal thirds (records 33
and later), long in 2 of 11 layers; contexts of 1k and more: step 128, block 128. Medium track: 12 stages of 3 to 23
blocks, short at most 11. Records validate with a wider window; here evaluation has the window of its moment.
When it hurts / conflicts: saves time only at contexts of many blocks of 128 tokens. Records change rotations with every
change of the window (YaRN), which this does not. Nothing else may own the dials `window` and `window.short`.
Source: modded-nanogpt records 29 to 35.
"""

import math
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from coregpt.api import Plugin, PluginError, RunView, Schedule, Site, SlidingWindow, Stages, hookimpl

Shares = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]


class WindowStages(Plugin):
    """Adds two dials and one mask rule."""

    neutral: ClassVar[dict[str, Any] | None] = {"long": (1.0,), "short": (1.0,)}

    long: Shares = (0.1875, 0.4375, 0.6875)
    """Window of the long layers in each stage, as a share of the context."""
    short: Shares = (0.0625, 0.1875, 0.3125)
    """Window of the others in each stage."""
    fractions: tuple[PositiveFloat, ...] | None = None
    """Share of the steps each stage takes, summing to 1. Empty: equal shares."""
    long_layers: tuple[NonNegativeInt, ...] | None = None
    """Layers (from 0) with the long window. Empty: 3 L // 11 and the last."""
    step: PositiveInt = 1
    """Windows are rounded up to multiples of this many tokens."""
    block: PositiveInt = 1
    """Hide whole blocks of this many keys only; 1 is exact to the key. Divides `step`."""

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        for name, values in (("short", self.short), ("fractions", self.fractions)):
            if values is not None and len(values) != len(self.long):
                raise ValueError(f"{name} has {len(values)} entries, but long has {len(self.long)} stages")
        if self.fractions is not None and abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, not {sum(self.fractions):g}")
        if self.step % self.block:
            raise ValueError(f"step ({self.step}) must be a multiple of block ({self.block})")
        return self

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        shares = self.fractions or (1 / len(self.long),) * len(self.long)
        ends = [*list(accumulate(shares))[:-1], 1]
        dials: dict[str, Schedule] = {}
        for name, windows in (("window", self.long), ("window.short", self.short)):
            tokens = [self.tokens_of(share, run.shape.context) for share in windows]
            dials[name] = self.in_stages(Stages(*zip(ends, tokens, strict=True)))
        return dials

    @staticmethod
    def in_stages(stages: Stages) -> Schedule:
        return lambda clock: float(stages(clock))

    def tokens_of(self, share: float, context: int) -> int:
        """Rounded before the rounding up, so that what is whole in exact arithmetic is whole here."""
        return self.step * math.ceil(round(share * context / self.step, 6))

    @hookimpl
    def add_masks(self, at: Site) -> SlidingWindow | None:
        depth = at.shape.depth
        layers = (3 * depth // 11, depth - 1) if self.long_layers is None else self.long_layers
        if wrong := [layer for layer in layers if layer >= depth]:
            raise PluginError(f"window_stages: long layer {wrong[0]} of a model with {depth} layers")
        dial, shares = ("window", self.long) if at.layer in layers else ("window.short", self.short)
        return SlidingWindow(dial, 1.0, self.block) if min(shares) < 1 else None
