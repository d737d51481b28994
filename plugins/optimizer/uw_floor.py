"""Lengthen updates that are too short for the matrix that they move.

With U the update of a matrix W and tau the floor:

    U <- U max(1, tau |W| / max(|U|, 1e-8))

with Frobenius norms of the whole matrix, or of each of its rows (`by_row`). Longer updates stay as they are.

Suggested settings: tau 0.35 with muon and normuon at lr 0.0375 and no weight decay (record 9); 0.3825 later, by row in
the newest (record 46).
When it hurts / conflicts: with a floor steps are relative to the weights, so weight decay works against it. `hyperball`
and `ngpt` fix the ratio already.
Source: modded-nanogpt optimization track, records 9 and 46.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import torch
from coregpt_plugins._shared.matrices import frobenius, is_matrix
from pydantic import NonNegativeFloat
from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, Prescription, UpdateRule, hookimpl


class UwFloor(Plugin):
    """Wraps the updates of matrices."""

    after: ClassVar[tuple[str, ...]] = (
        "cautious_adam",
        "langevin_noise",
        "muon",
        "normuon",
        "radial_brake",
    )
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)
    neutral: ClassVar[dict[str, Any] | None] = {"tau": 0.0}
    prescribes: ClassVar[dict[str, Prescription]] = {
        "plugins.muon.weight_decay": Prescription(0.0, "modded-nanogpt optimization track, record 9")
    }

    tau: NonNegativeFloat = 0.35
    """Least size of an update, before the learning rate, as a share of the matrix's."""
    by_row: bool = False
    """Each output row by itself."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Floored(rule, self) if is_matrix(group) and self.tau else rule


class Floored:
    """The update rule `inner`, its updates not shorter than the floor."""

    def __init__(self, inner: UpdateRule, options: UwFloor):
        self.inner, self.options = inner, options
        self.lr, self.weight_decay = inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        update = self.inner.direction(p, g, state, dials)
        wanted = self.options.tau * self.size(p)
        return update * (wanted / self.size(update).clamp(min=1e-8)).clamp(min=1.0)

    def size(self, x: Tensor) -> Tensor:
        """(n, ..., 1, 1), or of every row (n, ..., r, 1)."""
        return torch.linalg.vector_norm(x, dim=-1, keepdim=True) if self.options.by_row else frobenius(x)
