"""The yardstick: mean next-token cross-entropy over a fixed token stream, in fp32. No hook reaches it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.contract.rules import Dials
from coregpt.engine.arithmetic.products import fast_products
from coregpt.engine.data.judged import NO_TARGET

Logits = Callable[[Tensor, Dials], Tensor]


@torch.no_grad()
def total_loss(logits: Tensor, targets: Tensor, at_once: int = 2**25) -> Tensor:
    """Sum over tokens of -log softmax(logits)[target] in float64 (0-d): logits (N, V), targets (N,) int64.

    `at_once` is the most logits in float64 at a time. A target of `NO_TARGET` counts as nothing.
    """
    rows = max(1, at_once // logits.shape[-1])
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    for x, y in zip(logits.split(rows), targets.split(rows), strict=True):
        wide = x.double()
        losses = torch.logsumexp(wide, -1) - wide.gather(-1, y.clamp(min=0)[:, None]).squeeze(-1)
        total += losses.where(y != NO_TARGET, 0.0).sum()
    return total


def counting(targets: Tensor) -> int:
    """How many targets there are, without those of `NO_TARGET`."""
    return int((targets != NO_TARGET).sum())


@torch.no_grad()
def evaluate(model: nn.Module, logits: Logits, inputs: Tensor, targets: Tensor, dials: Dials, rows: int) -> Tensor:
    """Mean loss in nats per token (0-d, float64) of inputs and targets (N, T), `rows` rows at a time.

    Autocast is off whatever the training precision; `logits` is compiled on CUDA only. Sums are float64, so the number
    of rows at a time changes memory and not the result beyond the rounding of the model itself.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    with torch.autocast(device.type, enabled=False), fast_products(device):
        for start in range(0, len(inputs), rows):
            x, y = inputs[start : start + rows].to(device), targets[start : start + rows].to(device)
            losses = F.cross_entropy(
                logits(x, dials).float().flatten(0, 1), y.flatten(), reduction="none", ignore_index=NO_TARGET
            )
            total += losses.double().sum()
    model.train(training)
    return total / max(1, counting(targets))
