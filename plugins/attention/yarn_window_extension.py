"""When attention's window grows, slow the rotations down that did not come around inside the old one.

At every change of the dial `window` from w_o to w_n tokens, before the step that sees it, for each speed w of `rope`
(radians a token) and the softmax scale a, with s = w_o / w_n:

    rho = w_o w / 2 pi      gamma = clamp((rho - slow) / (fast - slow), 0, 1)
    w <- w (s + gamma (1 - s))      a <- a (1 + growth ln(w_n / w_o))

Fast pairs stay as they are, slow ones turn over the new window as far as they did over the old, dimensions without
position keep none. a starts at `scale` and takes the place of 1 / sqrt(D). Speeds and a are saved with the weights.

Suggested settings: the defaults, for normalised queries and keys of width 128 (1.13 / sqrt(D)); medium track: `until`
0.8125, 13 of 16 blocks.
When it hurts / conflicts: scales grow by design; without `qk_norm` projections can undo them. Wants the windows of
`window_stages`, as all its sources have. Records widen the window once more to validate, without a change of speeds.
Source: modded-nanogpt record 31; Peng et al. 2023 (YaRN), arXiv:2309.00071.
"""

import math
from collections.abc import Generator
from typing import Annotated, Any, ClassVar, Self

import torch
from coregpt_plugins._shared.rotary import Turning, turning
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor, nn

from coregpt.api import Clock, Companion, Context, Heads, Plugin, RunView, hookimpl

NAME = "yarn_window_extension"


class YarnWindowExtension(Plugin):
    """Changes rope's rotation and attention's scale at every change of the window."""

    requires: ClassVar[tuple[str, ...]] = ("rope", "window_stages")
    conflicts: ClassVar[tuple[str, ...]] = ("attn_scale", "ngpt")

    scale: PositiveFloat = 0.1
    """a at first."""
    growth: NonNegativeFloat = 0.2
    """By how much a grows."""
    slow: NonNegativeFloat = 1.0
    """Turns inside the old window up to which a speed is slowed in full."""
    fast: PositiveFloat = 32.0
    """Turns from which it stays."""
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Largest window, as a share of the context, at whose coming anything changes."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.slow >= self.fast:
            raise ValueError(f"slow ({self.slow:g}) must be below fast ({self.fast:g})")
        return self

    @hookimpl(wrapper=True)
    def make_position(self) -> Generator[None, nn.Module, nn.Module]:
        return turning((yield), NAME)[0]

    @hookimpl(wrapper=True)
    def make_attend(self, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        return Sharpened((yield), self.scale, heads.width)

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Extension(run, self)


class Sharpened(nn.Module):
    """Attention `inner`, which divides by sqrt(D), at the scale a."""

    scale: Tensor

    def __init__(self, inner: nn.Module, scale: float, width: int):
        super().__init__()
        self.inner, self.root = inner, math.sqrt(width)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q * (self.scale * self.root).to(q.dtype), k, v, x, ctx)
        return y


class Extension(Companion):
    """Watches the window."""

    def __init__(self, run: RunView, options: YarnWindowExtension):
        self.run, self.options = run, options
        self.window: float | None = None
        parts = [] if run.model is None else list(run.model.modules())
        self.speeds = [part.speeds for part in parts if isinstance(part, Turning)]
        self.scales = [part.scale for part in parts if isinstance(part, Sharpened)]

    def before_step(self, clock: Clock) -> None:
        old, new = self.window, float(self.run.dials["window"])
        if old is not None and new != old and new <= self.options.until * self.run.shape.context:
            self.extend(old, new)
        self.window = new

    @torch.no_grad()
    def extend(self, old: float, new: float) -> None:
        options, short = self.options, old / new
        for speeds in self.speeds:
            turns = old * speeds / (2 * math.pi)
            stays = ((turns - options.slow) / (options.fast - options.slow)).clamp(0, 1)
            speeds.mul_(short + stays * (1 - short))
        for scale in self.scales:
            scale.mul_(1 + options.growth * math.log(new / old))

    def state_dict(self) -> dict[str, Tensor | Any]:
        return {"window": self.window}

    def load_state_dict(self, state: dict[str, Tensor | Any]) -> None:
        seen: Any = state["window"]
        self.window = seen
