"""Why attention takes the path it takes: core's bf16 attention on CPU against PyTorch's fused kernel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Ratio, compare
from coregpt.engine.attention import causal_in_blocks

SHAPES = ((4, 4, 128, 32), (16, 4, 128, 32), (16, 4, 256, 32), (8, 4, 512, 32), (2, 12, 1024, 64))
"""Batch, heads, tokens, head width."""


def attention_ratio(shape: tuple[int, int, int, int], pairs: int = 5) -> Ratio:
    """Forward and backward in bf16 on one thread: `causal_in_blocks` over scaled_dot_product_attention."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    q, k, v, up = (torch.randn(shape, generator=generator).bfloat16() for _ in range(4))
    inputs = [t.requires_grad_() for t in (q, k, v)]

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return compare(
        lambda: causal_in_blocks(*inputs).backward(up), lambda: fused(*inputs).backward(up), pairs, repetitions=3
    )
