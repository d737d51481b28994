"""The loss of every single token, as evaluation computes it, and what else is known of each prediction."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from coregpt.engine.arithmetic.products import fast_products
from coregpt.engine.data import TokenStream, eval_rows
from coregpt.trained.estimates import Floats
from coregpt.trained.opening import Trained

PASS_TOKENS = 2048
"""Tokens of a forward pass, as evaluation on a CPU has them."""


@dataclass(frozen=True)
class Scored:
    """Predictions of the tokens of a stream, all of shape (rows, T)."""

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    losses: Floats
    """In nats."""
    confidence: Floats
    """The probability of the most probable token."""
    right: NDArray[np.bool_]
    """Whether that token is the target."""


def score(model: Trained, stream: TokenStream, count: int, name: str) -> Scored:
    """The first `count` tokens of a stream in rows of the model's context. Raises DataError if they are not there."""
    return score_rows(model, *eval_rows(stream, model.context, count, name))


def score_rows(model: Trained, inputs: Tensor, targets: Tensor) -> Scored:
    """Any rows, int64 (rows, T) each, as long as the model takes them."""
    rows = max(1, PASS_TOKENS // inputs.shape[1])
    parts = [_pass(model, inputs[at : at + rows], targets[at : at + rows]) for at in range(0, len(inputs), rows)]
    losses, confidence, right = (torch.cat(each).numpy() for each in zip(*parts, strict=True))
    return Scored(inputs.numpy(), targets.numpy(), losses, confidence, right)


@torch.no_grad()
def _pass(model: Trained, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    device = model.device
    with torch.autocast(device.type, enabled=False), fast_products(device):
        logits = model.logits(inputs)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.to(device).flatten(), reduction="none")
    best, token = logits.softmax(-1).max(-1)
    right = token.cpu() == targets
    return losses.view(targets.shape).double().cpu(), best.double().cpu(), right
