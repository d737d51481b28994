"""A slow GPT in float64, written from the definitions with loops over rows, heads and positions.

It shares nothing with the engine but the values of its parameters. A technique's test overrides the parts the
technique changes and compares logits and gradients of the whole model.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from coregpt.engine.build import Run

FP32_EPS = 1.1920928955078125e-07


def rms_norm(x: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + FP32_EPS)


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


class SlowGPT:
    """Pre-norm decoder on one row at a time; h is (T, d), one head's q, k, v are (T, D)."""

    def __init__(self, run: Run):
        self.shape = run.config.model
        self.p = {path: value.detach().double().clone().requires_grad_() for path, value in run.assembly.params.items()}

    def layer(self, layer: int, name: str) -> Tensor:
        return self.p[f"blocks.{layer}.{name}"]

    # -- parts a technique may change --------------------------------------------------------------

    def embed(self, tokens: list[int]) -> Tensor:
        rows = [self.p["embedding.weight"][token] for token in tokens]
        if "shared.positions.weight" in self.p:
            rows = [row + self.p["shared.positions.weight"][t] for t, row in enumerate(rows)]
        return torch.stack(rows)

    def norm(self, x: Tensor) -> Tensor:
        return rms_norm(x)

    def position(self, q: Tensor, k: Tensor, layer: int, head: int) -> tuple[Tensor, Tensor]:
        return q, k

    def values(self, v: Tensor, x: Tensor, tokens: list[int], layer: int, head: int) -> Tensor:
        return v

    def score_factor(self) -> float:
        return 1 / math.sqrt(self.shape.head_dim)

    def mlp(self, x: Tensor, layer: int) -> Tensor:
        return gelu(x @ self.layer(layer, "mlp.up.weight").T) @ self.layer(layer, "mlp.down.weight").T

    def connect(self, h: Tensor, y: Tensor, layer: int, branch: str) -> Tensor:
        return h + y

    def finish(self, logits: Tensor) -> Tensor:
        return logits

    # -- what stays ----------------------------------------------------------------------------------

    def attention(self, x: Tensor, tokens: list[int], layer: int) -> Tensor:
        heads = []
        width = self.shape.head_dim
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            q, k = self.position(q, k, layer, head)
            v = self.values(v, x, tokens, layer, head)
            outputs = []
            for t in range(len(tokens)):
                weights = torch.exp(k[: t + 1] @ q[t] * self.score_factor())
                outputs.append((weights / weights.sum()) @ v[: t + 1])
            heads.append(torch.stack(outputs))
        return torch.cat(heads, dim=1) @ self.layer(layer, "attention.out.weight").T

    def row(self, tokens: list[int]) -> Tensor:
        h = self.embed(tokens)
        for layer in range(self.shape.depth):
            h = self.connect(h, self.attention(self.norm(h), tokens, layer), layer, "attention")
            h = self.connect(h, self.mlp(self.norm(h), layer), layer, "mlp")
        return self.finish(self.norm(h) @ self.p["head.out.weight"].T)

    def logits(self, tokens: Tensor) -> Tensor:
        return torch.stack([self.row(row) for row in tokens.tolist()])

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        logits = self.logits(tokens)
        losses = [
            torch.log(torch.exp(logits[b, t]).sum()) - logits[b, t, targets[b, t]]
            for b in range(tokens.shape[0])
            for t in range(tokens.shape[1])
        ]
        return sum(losses, torch.zeros((), dtype=torch.float64)) / len(losses)


def shake(run: Run, size: float = 0.2, seed: int = 0) -> Run:
    """Adds noise to every parameter, so that none is zero, one or equal to its neighbour."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in run.assembly.params.values():
            value.add_(torch.randn(value.shape, generator=generator) * size)
    for companion in run.companions:
        companion.after_update(run.timeline.clock(0))
    return run


def assert_equals_slow_model(run: Run, slow: Callable[[Run], SlowGPT], rows: int = 2, length: int = 7) -> None:
    """Logits and the gradient of every parameter, of the whole model after a `shake`."""
    shake(run)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, run.config.model.vocab, (rows, length + 1), generator=generator)
    tokens, targets = drawn[:, :-1], drawn[:, 1:]
    expected = slow(run)
    wanted = expected.logits(tokens)
    torch.testing.assert_close(
        run.model.logits(tokens, run.dials.values).double(),
        wanted,
        rtol=1e-5,
        atol=1e-5 * float(wanted.detach().abs().max()),
    )
    loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    expected_loss = expected.loss(tokens, targets)
    expected_loss.backward()
    torch.testing.assert_close(loss.double(), expected_loss, rtol=1e-5, atol=0)
    # A gradient that a norm makes zero is rounding in fp32: it counts against a thousandth of the largest one.
    floor = max(float(value.grad.norm()) for value in expected.p.values() if value.grad is not None) / 1000
    for path, value in run.assembly.params.items():
        gradient = expected.p[path].grad
        assert gradient is not None, path
        assert value.grad is not None, path
        error = float((value.grad.double() - gradient).norm() / gradient.norm().clamp(min=floor))
        assert error < 1e-4, f"{path}: gradient off by {error:.1e}"
