"""Give every row (or column) of a matrix update the same long-run size, and keep the size of the whole.

Wraps whatever rule moves matrices (made for `muon`). With U0 its update of a matrix (r, c):

    v <- beta2 v + (1 - beta2) mean(U0^2 along the short side)      (r, 1) if r >= c, else (1, c); v = 0 at first
    U1 = U0 / sqrt(max(v, 1e-10))
    U = U1 |U0|_F / max(|U1|_F, 1e-10)

No bias correction: the last line cancels it. `axis: row` always keeps one v per row, as the authors do.

Suggested settings: beta2 0.95 (0.9 in later records), with muon at its usual learning rate or a little above.
When it hurts / conflicts: after `muon`; pointless around AdamW, whose updates are already normalised by entry.
Source: NorMuon (Li et al. 2025, arXiv:2510.05491); modded-nanogpt records 41 and 48 (short axis).
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, UpdateRule, hookimpl


class NorMuon(Plugin):
    """Wraps the update rule of matrices."""

    after: ClassVar[tuple[str, ...]] = ("muon",)
    neutral: ClassVar[dict[str, Any] | None] = {"beta2": 1.0}

    beta2: float = Field(default=0.95, ge=0, le=1)
    """Decay of the mean squares; 1 never learns them and leaves updates as they are."""
    axis: Literal["short", "row"] = "short"
    """One mean square per row if the matrix is at least as tall as wide, else per column; or always per row."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        matrices = group.role == "matrix" and len(group.shape) >= 2
        return Normalised(rule, self) if matrices and self.beta2 < 1 else rule


class Normalised:
    """`inner`, then the normalisation; state: inner's and v."""

    def __init__(self, inner: UpdateRule, options: NorMuon):
        self.inner, self.options = inner, options
        self.lr, self.weight_decay = inner.lr, inner.weight_decay

    def averaged(self, p: Tensor) -> int:
        """The dimension that mean squares are taken over."""
        return -1 if self.options.axis == "row" or p.shape[-2] >= p.shape[-1] else -2

    def init(self, p: Tensor) -> dict[str, Tensor]:
        shape = list(p.shape)
        shape[self.averaged(p)] = 1
        return {**self.inner.init(p), "normuon_v": p.new_zeros(shape)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        update, v = self.inner.direction(p, g, state, dials), state["normuon_v"]
        v.lerp_(update.square().mean(self.averaged(p), keepdim=True), 1 - self.options.beta2)
        scaled = update * v.clamp(min=1e-10).rsqrt()
        return scaled * (_size(update) / _size(scaled).clamp(min=1e-10))


def _size(update: Tensor) -> Tensor:
    size: Tensor = torch.linalg.matrix_norm(update, keepdim=True)
    return size
