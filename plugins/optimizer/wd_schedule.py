"""Let weight decay fall with the learning rate a second time.

A step subtracts lr f x wd f^power x p, with f the `lr` schedule: decay that is already multiplied by the learning rate
is multiplied by f again, so that in a cooldown to a half weights shrink by a quarter.

Suggested settings: power 1, as the records have it, with a `cautious` decay there.
When it hurts / conflicts: without a schedule f is 1 and nothing changes, so it asks for the one it was published with.
What decays less late in a run ends with larger weights: tune the decay with it.
Source: modded-nanogpt record 41 and later.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from pydantic import NonNegativeFloat
from torch import Tensor

from coregpt.api import DecayRule, Dials, Plugin, hookimpl


class WdSchedule(Plugin):
    """Wraps every decay."""

    requires: ClassVar[tuple[str, ...]] = ("wsd",)
    neutral: ClassVar[dict[str, Any] | None] = {"power": 0.0}

    power: NonNegativeFloat = 1.0
    """How often the schedule counts again; 0 leaves decay as it is."""

    @hookimpl(wrapper=True)
    def make_decay(self) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return Falling(rule, self.power) if self.power else rule


class Falling:
    """The decay rule `inner` with a weight decay times f^power."""

    def __init__(self, inner: DecayRule, power: float):
        self.inner, self.power = inner, power

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        factor: Any = dials.get("lr", 1.0)
        return self.inner.amount(p, update, lr, weight_decay * factor**self.power, dials)
