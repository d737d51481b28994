"""Softmax attention under a mask: SDPA where masks are dense, FlexAttention where they are block-sparse."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from coregpt.contract.context import Context

FLEX_BLOCK = 128
QUERY_BLOCK = 128
"""Queries of one product: small enough to skip most of the future, large enough for fast products."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | BlockMask | None) -> Tensor:
    """Causal softmax(q k^T / sqrt(D)) v on (B, T, H, D). `mask` None means causal and nothing else."""
    q, k, v = (t.transpose(1, 2) for t in (q, k.to(q.dtype), v.to(q.dtype)))
    if mask is None and q.device.type == "cpu" and q.dtype == torch.bfloat16:
        y = causal_in_blocks(q, k, v)
    elif mask is None:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    elif isinstance(mask, BlockMask):
        y = flex_attention(q, k, v, block_mask=mask)
    else:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.transpose(1, 2)


def causal_in_blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention on (B, H, T, D) as plain products, one block of queries at a time.

    PyTorch's flash kernel for bf16 on CPU takes up to three times as long as this, forward and backward, at the
    sizes of laptop studies (`python -m benchmarks`). Probabilities are rounded to bf16, as kernels do.
    """
    q = q * q.shape[-1] ** -0.5
    out = []
    with torch.autocast("cpu", enabled=False):  # autocast would widen the softmax to fp32
        for start in range(0, q.shape[2], QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, q.shape[2])
            scores = q[:, :, start:end] @ k[:, :, :end].mT
            future = torch.ones(end - start, end, dtype=torch.bool, device=q.device).triu(start + 1)
            out.append(scores.masked_fill(future, float("-inf")).softmax(-1) @ v[:, :, :end])
    return torch.cat(out, dim=2)


def build_mask(rules: Sequence[Any], ctx: Context) -> Tensor | BlockMask | None:
    """The mask of one rule set for this forward pass: causal AND every rule.

    Returns None for no rules (the kernels know causal), a BlockMask on CUDA, else a bool tensor
    (B or 1, 1, T, T), True where query row may see key column.
    """
    if not rules:
        return None
    batch, length = ctx.tokens.shape
    device = ctx.tokens.device
    if device.type == "cuda" and length % FLEX_BLOCK == 0:
        return block_mask(rules, ctx)
    b = torch.arange(batch, device=device).view(-1, 1, 1)
    t = torch.arange(length, device=device)
    q, k = t.view(1, -1, 1), t.view(1, 1, -1)
    allowed = q >= k
    for rule in rules:
        allowed = allowed & rule(b, q, k, ctx)
    return allowed.unsqueeze(1)


def block_mask(rules: Sequence[Any], ctx: Context) -> BlockMask:
    """The same mask as a BlockMask; rules close over 0-d dials, so a moving window is not a new graph."""

    def allowed(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        ok = q >= k
        for rule in rules:
            ok = ok & rule(b, q, k, ctx)
        return ok

    batch, length = ctx.tokens.shape
    per_row = batch if ctx.documents is not None else None
    return create_block_mask(allowed, per_row, None, length, length, ctx.tokens.device.type, BLOCK_SIZE=FLEX_BLOCK)
