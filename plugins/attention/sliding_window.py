"""Let attention look back a fixed number of tokens, farther in some layers than in others.

Each layer has a letter of `layout`, which repeats from the first layer on: L sees the last `window` tokens, itself
included, S the last `short`, F everything; `-` is a layer without attention, for layouts written as their authors do.
With `block` only whole blocks are hidden: key block k // b is seen if 0 <= q // b - k // b < window / b. Within what a
window shows, causality and documents hold as ever.

Suggested settings: `SF`, every other layer (Gemma 2), or `SSSSSF` (Gemma 3); records 20 to 23: `LSSSLSSLSSSL` with
block 128 and short half of long; record 89: `SSSLSS-SSSL`. FlashAttention's window w shows w + 1 keys: `window` w + 1.
When it hurts / conflicts: nothing older than the sum of all windows can be seen. Saves time only at contexts of many
blocks of 128 tokens. Beside `window_warmup` or `window_stages`, which move with training, a token must be in both.
Source: Child et al. 2019, arXiv:1904.10509; Beltagy et al. 2020, arXiv:2004.05150; Gemma Team 2024, arXiv:2408.00118;
modded-nanogpt records 16 (blocks) and 20 (long and short).
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from coregpt.api import Plugin, PluginError, RunView, Schedule, Site, hookimpl
from coregpt.api import SlidingWindow as Last


class SlidingWindow(Plugin):
    """Adds a mask rule to each layer that has a window; dials that do not turn hold the sizes."""

    neutral: ClassVar[dict[str, Any] | None] = {"layout": "F"}

    window: PositiveInt | None = None
    """Tokens that a layer L sees, itself included. Empty: half of the context, in whole blocks."""
    short: PositiveInt | None = None
    """Tokens that a layer S sees. Empty: half of `window`, in whole blocks."""
    layout: Annotated[str, Field(pattern="^[LSF-]+$")] = "L"
    """A letter for each layer; repeats."""
    block: PositiveInt = 1
    """Hide whole blocks of this many keys only; 1 is exact to the key. Divides `window` and `short`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, size in (("window", self.window), ("short", self.short)):
            if size is not None and size % self.block:
                raise ValueError(f"{name} ({size}) must be a multiple of block ({self.block})")
        if self.window is not None and self.short is not None and self.short > self.window:
            raise ValueError(f"short ({self.short}) may not exceed window ({self.window})")
        return self

    def sizes(self, context: int) -> dict[str, int]:
        """Of the windows L and S, in tokens."""
        long = self.window or self.half(context)
        short = self.short or self.half(long)
        if short > long:
            raise PluginError(f"sliding_window: short ({short}) exceeds window ({long}), half of the context")
        return {"L": long, "S": short}

    def half(self, size: int) -> int:
        """Of a window, in whole blocks, one at least."""
        return max(size // 2 // self.block, 1) * self.block

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        return {f"sliding_window.{name}": self.still(size) for name, size in self.sizes(run.shape.context).items()}

    @staticmethod
    def still(size: int) -> Schedule:
        return lambda clock: float(size)

    @hookimpl
    def add_masks(self, at: Site) -> Last | None:
        letter = "F" if at.layer is None else self.layout[at.layer % len(self.layout)]
        size = self.sizes(at.shape.context).get(letter, at.shape.context)
        return Last(f"sliding_window.{letter}", 1.0, self.block) if size < at.shape.context else None
