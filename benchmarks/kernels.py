"""Why attention and evaluation take the paths they take on CPU: core's kernels against PyTorch's own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Ratio, compare
from coregpt.engine.arithmetic.platform import set_up_cpu
from coregpt.engine.arithmetic.products import OneDNN
from coregpt.engine.attention.blocks import blocked_attention

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
    for t in (q, k, v):
        t.requires_grad_()
    gap = torch.arange(length).view(-1, 1) - torch.arange(length)
    mask = None if window is None else ((gap >= 0) & (gap < window))[None, None]

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None).transpose(1, 2)

    return compare(
        lambda: blocked_attention(q, k, v, mask).backward(up),
        lambda: fused(q, k, v).backward(up),
        pairs,
        repetitions=3,
    )


GROUPED = (((16, 4, 256, 32), 1), ((2, 12, 1024, 64), 3), ((2, 12, 1024, 64), 1))
"""Batch, heads, tokens, head width; key heads."""


def grouped_ratio(shape: tuple[int, int, int, int], key_heads: int, pairs: int = 5) -> Ratio:
    """Forward and backward on one thread: query heads that share `key_heads` over as many key heads as heads.

    Attention alone: the projections of keys and values, which shrink by heads / key_heads, are not in it.
    """
    set_up_cpu()
    batch, heads, length, width = shape
    generator = torch.Generator().manual_seed(0)
    q, k, v, up = (torch.randn((batch, length, heads, width), generator=generator).bfloat16() for _ in range(4))
    few_k, few_v = (t[:, :, :key_heads].clone().requires_grad_() for t in (k, v))
    for t in (q, k, v):
        t.requires_grad_()
    return compare(
        lambda: blocked_attention(q, few_k, few_v).backward(up),
        lambda: blocked_attention(q, k, v).backward(up),
        pairs,
        repetitions=3,
    )


def product_ratio(rows: int, width_in: int, width_out: int, pairs: int = 50) -> Ratio:
    """One fp32 projection without gradients on one thread: as an evaluation makes it, over PyTorch's own."""
    set_up_cpu()
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, width_in, generator=generator) for n in (rows, width_out))

    @torch.no_grad()
    def fast() -> None:
        with OneDNN():
            F.linear(x, weight)

    return compare(fast, torch.no_grad()(lambda: F.linear(x, weight)), pairs)
