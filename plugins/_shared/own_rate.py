"""A group of parameters whose learning rate is multiplied by a dial of its own, on top of the `lr` schedule."""

from typing import Any

from torch import Tensor

from coregpt.api import DecayRule, Dials, UpdateRule


class OwnRate:
    """The update rule `inner`; every direction is multiplied by the dial."""

    def __init__(self, inner: UpdateRule, dial: str):
        self.inner, self.dial = inner, dial
        self.lr, self.weight_decay = inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        return self.inner.direction(p, g, state, dials) * dials[self.dial]


class OwnDecay:
    """The decay rule `inner` at a learning rate that is multiplied by the dial, beside an `OwnRate`.

    `places`: rules that put a matrix where lr x update leads are among those inside. The update that arrives is
    multiplied by the dial already, and they are told it once.
    """

    def __init__(self, inner: DecayRule, dial: str, places: bool = False):
        self.inner, self.dial, self.places = inner, dial, places

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        factor: Any = dials[self.dial]
        own = update / (factor + (factor == 0)) if self.places else update
        return self.inner.amount(p, own, lr * factor, weight_decay, dials)
