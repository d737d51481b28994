"""Core's update and decay rules: AdamW, decoupled."""

from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import OptimConfig
from coregpt.contract.rules import Dials


class AdamW:
    """Adam with bias correction (Kingma & Ba 2015; Loshchilov & Hutter 2019, arXiv:1711.05101).

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  direction = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
    """

    def __init__(self, options: OptimConfig, betas: tuple[float, float] | None = None, eps: float | None = None):
        """`betas` and `eps` take the place of those in `options`."""
        self.lr = options.lr
        self.weight_decay = options.weight_decay
        self.beta1, self.beta2 = betas or (options.beta1, options.beta2)
        self.eps = options.eps if eps is None else eps

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {"m": p.new_zeros(p.shape), "v": p.new_zeros(p.shape)}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        return self.toward(g, state, **self.numbers(dials))

    def numbers(self, dials: Dials) -> dict[str, float]:
        """All of a step that `toward` is told besides tensors: the corrections of both biases."""
        t: Any = dials["step"]
        return {"bias1": 1 - self.beta1**t, "bias2": 1 - self.beta2**t}

    def toward(self, g: Tensor, state: dict[str, Tensor], bias1: Any, bias2: Any) -> Tensor:
        """The direction, of nothing but tensors and these two numbers, which may be 0-d tensors in compiled code."""
        m, v = state["m"], state["v"]
        m.lerp_(g, 1 - self.beta1)
        v.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
        root = (v / bias2).sqrt_().add_(self.eps)
        return (m / bias1).div_(root)

    def move(
        self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials, lr: float, weight_decay: float
    ) -> None:
        """The whole step, decoupled decay with it, in one pass over memory instead of sixteen; in place."""
        torch._fused_adamw_(
            [p],
            [g],
            [state["m"]],
            [state["v"]],
            [],
            [torch.tensor(float(dials["step"]))],
            lr=lr,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )


class Decoupled:
    """lr x weight_decay x p, whatever the gradient says."""

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        return p * (lr * weight_decay)
