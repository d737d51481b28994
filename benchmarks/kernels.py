"""Why attention takes the path it takes: core's bf16 attention on CPU against PyTorch's fused kernel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Ratio, compare
from coregpt.engine.blocks import blocked_attention
from coregpt.engine.platform import set_up_cpu

CASES = (
    ((4, 4, 128, 32), None),
    ((16, 4, 128, 32), None),
    ((16, 4, 256, 32), None),
    ((8, 4, 512, 32), None),
    ((2, 12, 1024, 64), None),
    ((2, 12, 1024, 64), 128),
)
"""Batch, heads, tokens, head width; window."""


def attention_ratio(shape: tuple[int, int, int, int], window: int | None = None, pairs: int = 5) -> Ratio:
    """Forward and backward in bf16 on one thread: `blocked_attention` over scaled_dot_product_attention.

    Both get (B, T, H, D), as projections leave it; `window` hides all but that many keys.
    """
    set_up_cpu()  # for both
    batch, heads, length, width = shape
    generator = torch.Generator().manual_seed(0)
    q, k, v, up = (torch.randn((batch, length, heads, width), generator=generator).bfloat16() for _ in range(4))
    inputs = [t.requires_grad_() for t in (q, k, v)]
    gap = torch.arange(length).view(-1, 1) - torch.arange(length)
    mask = None if window is None else ((gap >= 0) & (gap < window))[None, None]

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None).transpose(1, 2)

    return compare(
        lambda: blocked_attention(*inputs, mask).backward(up),
        lambda: fused(*inputs).backward(up),
        pairs,
        repetitions=3,
    )
