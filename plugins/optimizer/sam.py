"""Take the gradient where the loss is about worst near by, and step from where the weights are.

With g the gradient of the batch at the weights w, all parameters as one vector:

    w' = w + rho g / |g|
    the step is made from w with the gradient at w' of the same batch

Suggested settings: rho 0.05; then 0.02 to 0.1.
When it hurts / conflicts: every step costs a second forward and backward pass, which core counts, so compare at equal
compute. Other plugins with a second pass (sophia) ask for one more; their passes follow this one.
Source: Foret et al. 2021, arXiv:2010.01412.
"""

from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from coregpt.api import Clock, Companion, Plugin, RunView, hookimpl


class Sam(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"rho": 0.0}

    rho: NonNegativeFloat = 0.05
    """How far away the gradient is taken, as a norm over all parameters."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        return Uphill(self.rho, run) if self.rho else None


class Uphill(Companion):
    """Asks for the second pass, and keeps the weights meanwhile."""

    def __init__(self, rho: float, run: RunView):
        self.rho, self.params = rho, run.params
        self.kept: dict[str, Tensor] = {}

    def wants_pass(self, clock: Clock) -> bool:
        return True

    def before_pass(self, clock: Clock) -> None:
        gradients = {path: param.grad for path, param in self.params.items() if param.grad is not None}
        norm = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()
        for path, gradient in gradients.items():
            self.kept[path] = self.params[path].detach().clone()
            self.params[path].data.add_(gradient * (self.rho / (norm + 1e-12)))

    def after_pass(self, clock: Clock) -> None:
        for path, value in self.kept.items():
            self.params[path].data.copy_(value)
        self.kept.clear()
