"""Softmax attention under a mask: blocks of products on CPUs, SDPA or FlexAttention on GPUs."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from coregpt.contract.context import Context
from coregpt.engine.blocks import blocked_attention
from coregpt.engine.fused import working_dtype

FLEX_BLOCK = 128


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | BlockMask | None) -> Tensor:
    """Causal softmax(q k^T / sqrt(D)) v on (B, T, H, D). `mask` None means causal and nothing else.

    Under autocast all three are in autocast's dtype, as PyTorch's own attention has them.
    """
    dtype = working_dtype(q)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    if q.device.type == "cpu" and not isinstance(mask, BlockMask) and (mask is not None or dtype == torch.bfloat16):
        return blocked_attention(q, k, v, mask)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    if mask is None:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    elif isinstance(mask, BlockMask):
        y = flex_attention(q, k, v, block_mask=mask)
    else:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.transpose(1, 2)


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
    b = torch.arange(batch, dtype=torch.int32, device=device).view(-1, 1, 1)
    t = torch.arange(length, dtype=torch.int32, device=device)  # half the memory of the default
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
