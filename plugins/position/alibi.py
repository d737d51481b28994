"""Tell attention how far away a key is by lowering its score in proportion, and nothing else about positions.

Head h (from 1) of H subtracts `m_h (i - j)` from the score of query i and key j, with fixed slopes
`m_h = 2^(-8 h / H)` where H is a power of two. Otherwise, with P the largest power of two below H: the slopes of P
heads, then every second one of 2 P heads, as the authors' code has it. Takes the place of the learned position table.

Suggested settings: none to set.
When it hurts / conflicts: nothing else may claim positions. Slower on CPU, where scores leave the fused path.
Source: Press et al. 2021, arXiv:2108.12409; github.com/ofirpress/attention_with_linear_biases.
"""

import torch
from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, Site, hookimpl


def slopes(heads: int) -> list[float]:
    """m_h of each head."""
    power = 1 << (heads.bit_length() - 1)
    first = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    between = [2 ** (-4 * h / power) for h in range(1, 2 * power + 1, 2)]
    return first + between[: heads - power]


class Distance(nn.Module):
    """s - m_h (q - k)."""

    slopes: Tensor

    def __init__(self, at: Site, heads: int):
        super().__init__()
        self.register_buffer("slopes", torch.tensor(slopes(heads)).to(at.device), persistent=False)

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        return score - self.slopes[h] * (q - k)


class Unmoved(nn.Module):
    """Queries and keys without a position."""

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        return q, k


class Alibi(Plugin):
    @hookimpl
    def make_position(self) -> nn.Module:
        return Unmoved()

    @hookimpl
    def add_score_rules(self, at: Site, heads: Heads) -> nn.Module:
        return Distance(at, heads.query)
