"""Divide momentum by an estimate of the loss' curvature, and clip each coordinate of the result (Sophia-G).

With g the gradient (clipped as `optim.grad_clip` says), every number on its own:

    m <- beta1 m + (1 - beta1) g
    h <- beta2 h + (1 - beta2) B g'^2      in every `every`-th step, from the first on; else h stays
    p <- p - decay - lr clip(m / max(gamma h, eps), -1, 1)

g' is the gradient of a second pass over the same B tokens, whose targets are drawn from the model's own predictions:
B g'^2 estimates the diagonal of the Gauss-Newton matrix. It is not clipped, and its FLOPs are counted.

Suggested settings: `lr` 0.8 of AdamW's best, gamma such that 10% to 50% of the coordinates are not clipped (the log has
the share as `sophia.unclipped`), weight decay twice AdamW's.
When it hurts / conflicts: in each `every`-th step another forward pass and a half. A loss other than cross-entropy of
the next token is differentiated at the drawn targets, too, and is no part of the Gauss-Newton matrix.
Source: Liu et al. 2023, arXiv:2305.14342, algorithms 2 and 3 (gamma as in its second version).
"""

from collections.abc import Callable

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, PrivateAttr
from torch import Tensor

from coregpt.api import Clock, Companion, Dials, Noise, ParamGroup, Plugin, RunView, UpdateRule, hookimpl, uniform


class Sophia(Plugin):
    """Claims the updates of every parameter."""

    lr: PositiveFloat = 1.6e-3
    """Peak learning rate; the `lr` schedule multiplies it."""
    beta1: float = Field(default=0.96, ge=0, lt=1)
    """Decay of m."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of h, per estimate."""
    gamma: PositiveFloat = 0.05
    """How much of the curvature counts: smaller clips more."""
    eps: PositiveFloat = 1e-12
    """Least curvature."""
    weight_decay: NonNegativeFloat = 0.2
    """Instead of `optim.weight_decay`."""
    every: PositiveInt = 10
    """Steps from one estimate to the next."""

    _rules: dict[str, "ByCurvature"] = PrivateAttr(default_factory=dict)
    """By parameter the rule of the run that is being built, which its companion tells the estimates."""

    @hookimpl
    def make_update(self, group: ParamGroup) -> UpdateRule:
        rule = ByCurvature(self, group.paths)
        self._rules.update(dict.fromkeys(group.paths, rule))
        return rule

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Estimate(self, run, {path: self._rules[path] for path in run.params})


class ByCurvature:
    """The update rule of one group. State: m and h."""

    def __init__(self, options: Sophia, paths: tuple[str, ...]):
        self.options, self.paths = options, paths
        self.lr, self.weight_decay = options.lr, options.weight_decay
        self.estimates: dict[str, Tensor] = {}
        """By parameter, those of this step."""
        self.state: dict[str, Tensor] = {}

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return {name: p.new_zeros(p.shape) for name in ("m", "h")}

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        o = self.options
        if self.estimates:
            rows = dials["rows"]
            assert isinstance(rows, Tensor)
            for place, row in enumerate(rows.tolist()):
                if row < len(self.paths):  # beyond them a stack is padded
                    state["h"][place].lerp_(self.estimates[self.paths[row]], 1 - o.beta2)
        state["m"].lerp_(g, 1 - o.beta1)
        self.state = state
        return self.ratio().clamp(-1, 1)

    def ratio(self) -> Tensor:
        """m / max(gamma h, eps) after the last update."""
        return self.state["m"] / (self.options.gamma * self.state["h"]).clamp(min=self.options.eps)


class Estimate(Companion):
    """Asks for the second pass and keeps the first one's gradients meanwhile."""

    def __init__(self, options: Sophia, run: RunView, rules: dict[str, ByCurvature]):
        self.options, self.run, self.rules = options, run, rules
        self.gradients: dict[str, Tensor] = {}
        self.tokens = 0
        self.noise = Noise.of(run.seed, "sophia")

    def before_step(self, clock: Clock) -> None:
        for rule in self.rules.values():
            rule.estimates.clear()

    def sees_batch(self, clock: Clock, tokens: Tensor, targets: Tensor) -> None:
        self.tokens = tokens.numel()

    def wants_pass(self, clock: Clock) -> bool:
        return clock.step % self.options.every == 0

    def before_pass(self, clock: Clock) -> None:
        self.noise = Noise.of(self.run.seed, f"sophia.{clock.step}")
        self.gradients = {path: gradient(param).clone() for path, param in self.run.params.items()}

    def pass_loss(self, loss: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        return loss(tokens, self.drawn(tokens))

    @torch.no_grad()
    def drawn(self, tokens: Tensor) -> Tensor:
        """(B, T) int64 targets from the predictions for tokens (B, T), with nothing else random in the model."""
        model = self.run.model
        assert model is not None
        training = model.training
        model.eval()
        probabilities = model.logits(tokens, self.run.dials).softmax(-1)  # type: ignore[operator]
        model.train(training)
        u = uniform(self.noise, numbers(tokens), (*tokens.shape, 1))
        below: Tensor = (probabilities.cumsum(-1) <= u).sum(-1)
        return below.clamp(max=probabilities.shape[-1] - 1)

    def after_pass(self, clock: Clock) -> None:
        first = next(iter(self.run.params.values()))
        number = self.run.all_reduce(torch.tensor(float(self.tokens), device=first.device))
        for path, param in self.run.params.items():
            self.rules[path].estimates[path] = gradient(param).square() * number
            gradient(param).copy_(self.gradients[path])
        self.gradients = {}

    def metrics(self) -> dict[str, float]:
        """The share of coordinates, of those that this rank moves, whose last update was not clipped."""
        ratios = [rule.ratio() for rule in dict.fromkeys(self.rules.values()) if rule.state]
        inside = sum(int((ratio.abs() < 1).sum()) for ratio in ratios)
        return {"sophia.unclipped": inside / sum(ratio.numel() for ratio in ratios)} if ratios else {}


def gradient(param: Tensor) -> Tensor:
    """The place that every parameter has for it."""
    assert param.grad is not None
    return param.grad


def numbers(tokens: Tensor) -> Tensor:
    """(B,) int64 for tokens (B, T): what a row draws by, on whichever rank and beside whichever rows it lies."""
    weights = torch.arange(1, tokens.shape[1] + 1, device=tokens.device) * 0x9E3779B1 % (1 << 31)
    return (tokens * weights).sum(1)
