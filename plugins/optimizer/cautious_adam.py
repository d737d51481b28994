"""Leave out those coordinates of an update that go against the present gradient.

With U the update of a parameter and G its gradient:

    U' = U 1[U G > 0] / max(mean(1[U G > 0]), 1e-3)
    U <- U + strength (U' - U)

The mean over the parameter keeps the size of the step where the coordinates that stay are as large as the others.

Suggested settings: strength 1 and every role, with AdamW as it is.
When it hurts / conflicts: where momentum is rightly longer than one noisy gradient, as with small batches. Around Muon
the masked update is no longer orthogonal: name the roles that AdamW moves.
Source: Liang et al. 2024, arXiv:2411.16085 (strength 1, all parameters). A proposal to modded-nanogpt of June 2026
uses a strength that it does not state, on its tables only.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from torch import Tensor

from coregpt.api import Dials, ParamGroup, Plugin, Role, Share, UpdateRule, hookimpl


class CautiousAdam(Plugin):
    """Wraps updates."""

    after: ClassVar[tuple[str, ...]] = ("muon", "normuon")
    neutral: ClassVar[dict[str, Any] | None] = {"strength": 0.0}

    strength: Share = 1.0
    """How much of the masked update is in the step."""
    roles: tuple[Role, ...] = ("matrix", "embedding", "head", "table", "gate", "scalar")
    """Whose updates are masked."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Masked(rule, self.strength) if self.strength and group.role in self.roles else rule


class Masked:
    """The update rule `inner` without what goes against the gradient."""

    def __init__(self, inner: UpdateRule, strength: float):
        self.inner, self.strength = inner, strength
        self.lr, self.weight_decay = inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        update = self.inner.direction(p, g, state, dials)
        agree = (update * g > 0).to(update.dtype)
        share = agree.mean(tuple(range(1, agree.dim())), keepdim=True).clamp(min=1e-3)
        return update.lerp(update * agree / share, self.strength)
