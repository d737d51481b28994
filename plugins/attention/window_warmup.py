"""Let attention look back a short way at first and further as training goes on.

The window w, in tokens, rises with the progress q of the run (0 at the first step, 1 after the last):

    down: w = step * floor((start + f(q) (final - start)) / step)
    up:   w = step * ceil(max(start, f(q) final) / step)

f(q) = q for `linear`, 4q^3 - 6q^2 + 3q for `cubic` (steep at both ends, flat in the middle). A query sees w keys, of
which it is the last: q - w < k <= q; layers in `short_layers` see half of them, rounded down. With `block` b only whole
blocks are hidden: key block k // b is seen if 0 <= q // b - k // b < w / b, so a query sees w - b + 1 to w keys. The
window is a dial, not a new graph. Evaluation uses the window of its moment.

Suggested settings: contexts of 1k and more: step 64, start 64, rounding down (record 13, final 1792), or step 128,
block 128, start 1, rounding up (records 19 to 28, final 1728); cubic with twice the final window (medium track).
When it hurts / conflicts: saves time only at contexts of many blocks of 128 tokens, since only whole blocks that
nobody sees are skipped; below that it costs a mask. The last step still has the second largest window when rounding
down. Nothing else may own the dial `window`.
Source: modded-nanogpt records 13 and 19 (linear), medium track record 8 (cubic).
"""

import math
from typing import Any, ClassVar, Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from coregpt.api import Clock, Plugin, PluginError, RunView, Schedule, Site, SlidingWindow, hookimpl


class WindowWarmup(Plugin):
    """Adds one dial and one mask rule."""

    neutral: ClassVar[dict[str, Any] | None] = {"start": 2**20, "final": 2**20}

    step: PositiveInt = 8
    """Windows are multiples of this many tokens."""
    block: PositiveInt = 1
    """Hide whole blocks of this many keys only; 1 is exact to the key. Divides `step`."""
    start: PositiveInt | None = None
    """Smallest window, in tokens. Empty: `step`."""
    final: PositiveInt | None = None
    """Window at the end, in tokens. Empty: the context, which it may also exceed."""
    rounding: Literal["down", "up"] = "up"
    """To a multiple of `step`; `down` counts from `start`, `up` is never below it."""
    shape: Literal["linear", "cubic"] = "linear"
    """How the window rises."""
    short_layers: tuple[NonNegativeInt, ...] = ()
    """Layers (from 0) that see half of the window."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.final is not None and self.first > self.final:
            raise ValueError(f"start ({self.first}) may not exceed final ({self.final})")
        if self.step % self.block:
            raise ValueError(f"step ({self.step}) must be a multiple of block ({self.block})")
        if self.rounding == "down" and self.first < self.step:
            raise ValueError(f"start ({self.first}) below step ({self.step}) would round down to nothing")
        return self

    @property
    def first(self) -> int:
        return self.start or self.step

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        final, depth = self.final or run.shape.context, run.shape.depth
        if self.first > final:
            raise PluginError(f"window_warmup: start ({self.first}) exceeds the context ({final}); set final or start")
        if any(layer >= depth for layer in self.short_layers):
            raise PluginError(f"window_warmup: short_layers {self.short_layers} of a model with {depth} layers")
        return {"window": lambda clock: float(self.window(clock, final))}

    @hookimpl
    def add_masks(self, at: Site) -> SlidingWindow | None:
        share = 0.5 if at.layer in self.short_layers else 1.0
        smallest = share * self.first // self.block * self.block
        return SlidingWindow("window", share, self.block) if smallest < at.shape.context else None

    def window(self, clock: Clock, final: int) -> int:
        """Keys a query may see, itself included, a multiple of `step`."""
        q = clock.progress
        risen = q if self.shape == "linear" else q * (4 * q * q - 6 * q + 3)
        # Rounded before floor and ceil, so that what is whole in exact arithmetic is whole here.
        if self.rounding == "down":
            return self.step * math.floor(round((self.first + risen * (final - self.first)) / self.step, 9))
        return self.step * math.ceil(round(max(self.first, risen * final) / self.step, 9))
