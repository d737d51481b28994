"""Softmax attention under a mask: blocks of products on CPUs, SDPA or FlexAttention on GPUs, a count on meta."""

from collections.abc import Sequence
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, create_block_mask, flex_attention

from coregpt.contract.context import Context
from coregpt.contract.errors import PluginError
from coregpt.contract.heads import Heads
from coregpt.engine.arithmetic.fused import working_dtype
from coregpt.engine.attention.blocks import blocked_attention, blocked_statistics
from coregpt.engine.attention.pairs import Pairs, causal_pairs, counted_pairs, is_counting
from coregpt.engine.attention.scores import Attended, ScoreRules, attend_by_rules, one_block, place
from coregpt.engine.attention.unkept import is_unkept, unkept

FLEX_BLOCK = 128
Mask = Tensor | BlockMask | Pairs | None


@overload
def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    scores: Sequence[Any] = (),
    ctx: Context | None = None,
    scale: float | None = None,
    places: Tensor | None = None,
) -> Tensor: ...


@overload
def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    scores: Sequence[Any] = (),
    ctx: Context | None = None,
    lse: bool,
    top: bool = False,
    scale: float | None = None,
    places: Tensor | None = None,
) -> Attended: ...


@overload
def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    scores: Sequence[Any] = (),
    ctx: Context | None = None,
    top: bool,
    scale: float | None = None,
    places: Tensor | None = None,
) -> Attended: ...


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    scores: Sequence[Any] = (),
    ctx: Context | None = None,
    lse: bool | None = None,
    top: bool | None = None,
    scale: float | None = None,
    places: Tensor | None = None,
) -> Tensor | Attended:
    """Softmax(scale q k^T) v: q (B, T, H, D), k (B, S, Hk, D), v (B, S, Hk, Dv) to y (B, T, H, Dv).

    H is a multiple of Hk, and query head h reads key head h // (H / Hk). `mask` (B or 1, H or 1, T, S) bool is True
    where a query may see a key; None means causal and nothing else (T is S). `scale` is 1 / sqrt(D) if not given.
    Each of `scores` is a rule `(score, b, h, q, k, ctx) -> score` on the scaled scores in fp32, with autograd; `places`
    says which token an index stands for (see `build_mask`).
    Where `lse` or `top` is given, the answer is (y, lse, top): the logarithm of each softmax's sum (B, T, H),
    differentiable, and the largest score of each head (H,), detached; both fp32, empty where False or not given.
    Under autocast q, k and v are in autocast's dtype, as PyTorch's own attention has them.
    PluginError where shapes do not fit.
    """
    dtype = working_dtype(q)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    refuse_misfits(q, k, v, mask)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    y: Tensor
    sums: Tensor | None
    tops: Tensor | None
    if is_unkept(q):
        y, sums, tops = unkept(q, k, v)
    elif not lse and not top and not scores and not isinstance(mask, BlockMask) and q.device.type != "meta":
        assert not isinstance(mask, Pairs)
        y, sums, tops = _plain(q, k, v, mask, scale), None, None
    else:
        y, sums, tops = _with_more(q, k, v, mask, ScoreRules(scores, ctx, places), scale, bool(lse), bool(top))
    if lse is None and top is None:
        return y
    empty = y.new_empty(0, dtype=torch.float32)
    return Attended(y, empty if not lse or sums is None else sums, empty if not top or tops is None else tops)


def _plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Nothing but y."""
    grouped = q.shape[2] != k.shape[2]
    if q.device.type == "cpu":
        heads = Heads(q.shape[2], k.shape[2], q.shape[3], v.shape[3])
        if in_blocks(q.dtype, heads, mask):
            return blocked_attention(q, k, v, mask, scale)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped)
    return y.transpose(1, 2)


def in_blocks(dtype: torch.dtype, heads: Heads, mask: Mask) -> bool:
    """Whether attention on a CPU is products in blocks: the fused kernel is faster in fp32 without a mask only."""
    alike = heads.group == 1 and heads.width == heads.value_width
    return mask is not None or not alike or dtype not in (torch.float32, torch.float64)


def _with_more(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, rules: ScoreRules, scale: float, lse: bool, top: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Output, sums and largest scores, those that are asked for at least, by the fastest way that can."""
    if q.device.type == "meta":
        if isinstance(mask, Tensor) and not is_counting():  # which numbers a run has hangs on the mask itself
            return one_block(q, k, v, mask, rules, scale, slice(0, q.shape[1]), slice(0, k.shape[1]))
        return _counted(q, k, v, mask, rules, scale)
    if q.device.type == "cuda" and mask is None and q.shape[1] % FLEX_BLOCK == 0:
        mask = _causal_blocks(q, rules.ctx)
    if isinstance(mask, BlockMask):
        return _flex(q, k, v, mask, rules, scale, AuxRequest(lse, top))
    assert not isinstance(mask, Pairs)
    if q.device.type == "cpu" and not rules.rules:
        return blocked_statistics(q, k, v, mask, scale, lse, top)
    return attend_by_rules(q, k, v, mask, rules, scale)


def _flex(
    q: Tensor, k: Tensor, v: Tensor, mask: BlockMask, rules: ScoreRules, scale: float, aux: AuxRequest
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    modify = rules.__call__ if rules.rules else None
    grouped = q.shape[1] != k.shape[1]
    if not any(aux):
        return flex_attention(q, k, v, modify, mask, scale, grouped).transpose(1, 2), None, None
    y, more = flex_attention(q, k, v, modify, mask, scale, grouped, return_aux=aux)
    sums = None if more.lse is None else more.lse.transpose(1, 2)
    return y.transpose(1, 2), sums, None if more.max_scores is None else more.max_scores.detach().amax((0, 2))


def _causal_blocks(q: Tensor, ctx: Context | None) -> BlockMask:
    """A causal BlockMask, made once per forward pass and length where there is a context to keep it."""
    key = ("causal", q.shape[1])
    if ctx is None or key not in ctx.masks:
        made = _block_mask((), ctx, q.device, q.shape[1], 1, 1, None)
        if ctx is None:
            return made
        ctx.masks[key] = made
    found: BlockMask = ctx.masks[key]
    return found


def _counted(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, rules: ScoreRules, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Products of as many FLOPs as the mask leaves, with the mean number of keys for every query."""
    queries, keys = q.shape[1], k.shape[1]
    if mask is None or (not isinstance(mask, Pairs) and queries == keys):  # a mask whose values nobody knows
        mask = causal_pairs(queries)
    met = min(mask.keys, keys) if isinstance(mask, Pairs) else keys
    return one_block(q, k, v, None, rules, scale, slice(0, queries), slice(0, met), visible=True)


def refuse_misfits(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> None:
    """Raises PluginError where shapes do not fit together."""
    wrong = None
    batch, queries, heads, width = q.shape
    if k.shape[:3] != v.shape[:3]:
        wrong = "k and v must agree in rows, keys and heads"
    elif k.shape[0] != batch or k.shape[3] != width:
        wrong = "q and k must agree in rows and width"
    elif heads % k.shape[2]:
        wrong = "the heads of q must be a multiple of those of k"
    elif mask is None and queries != k.shape[1]:
        wrong = "as many queries as keys, or a mask"
    elif isinstance(mask, Tensor):
        fits = zip(mask.shape, ((1, batch), (1, heads), (queries,), (k.shape[1],)), strict=False)
        if mask.dim() != 4 or mask.dtype != torch.bool or not all(n in allowed for n, allowed in fits):
            wrong = f"the mask must be bool (B or 1, H or 1, T, S), got {mask.dtype} {tuple(mask.shape)}"
    if wrong:
        raise PluginError(f"attend: {wrong}; q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}")


def build_mask(rules: Sequence[Any], ctx: Context, places: Tensor | None = None, heads: int = 1) -> Mask:
    """The mask of one rule set for this forward pass: causal AND every rule `(b, h, q, k, ctx) -> bool`.

    Returns None for no rules (the kernels know causal), a BlockMask on CUDA, in a FLOP count what it costs, else a bool
    tensor (B or 1, H or 1, P, P), True where query row may see key column. `places` (P,), (1, P) or (B, P) int64 says
    what token each index stands for: causal order is that of indices, rules see tokens, and may tell `heads` heads
    apart.
    """
    if not rules:
        return None
    device = ctx.tokens.device
    if device.type == "meta" and is_counting():
        return counted_pairs(rules, ctx, places, heads)
    length = ctx.tokens.shape[1] if places is None else places.shape[-1]
    if device.type == "cuda" and length % FLEX_BLOCK == 0:
        return block_mask(rules, ctx, places, heads)
    b, h = _rows_and_heads(ctx, heads)
    t = torch.arange(length, dtype=torch.int32, device=device)  # half the memory of the default
    q, k = t.view(1, 1, -1, 1), t.view(1, 1, 1, -1)
    allowed = q >= k
    if places is not None:
        at = places.to(torch.int32).view(-1, 1, length)
        q, k = at.unsqueeze(-1), at.unsqueeze(-2)
    for rule in rules:
        allowed = allowed & rule(b, h, q, k, ctx)
    return allowed


def block_mask(rules: Sequence[Any], ctx: Context, places: Tensor | None = None, heads: int = 1) -> BlockMask:
    """The same mask as a BlockMask; rules close over 0-d dials, so a moving window is not a new graph."""
    b, h = _rows_and_heads(ctx, heads)
    first = torch.zeros(1, 1, 1, 1, dtype=torch.int32, device=ctx.tokens.device)
    seen = first >= first  # of the first query: only its shape counts, and that says what the rules tell apart
    at = first if places is None else place(places, b, first)
    for rule in rules:
        seen = seen & rule(b, h, at, at, ctx)
    length = ctx.tokens.shape[1] if places is None else places.shape[-1]
    return _block_mask(rules, ctx, ctx.tokens.device, length, seen.shape[0], seen.shape[1], places)


def _block_mask(
    rules: Sequence[Any],
    ctx: Context | None,
    device: torch.device,
    length: int,
    batch: int,
    heads: int,
    places: Tensor | None,
) -> BlockMask:
    def allowed(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        ok = q >= k
        if places is not None:
            q, k = place(places, b, q), place(places, b, k)
        for rule in rules:
            ok = ok & rule(b, h, q, k, ctx)
        return ok

    return create_block_mask(allowed, batch, heads, length, length, device.type, BLOCK_SIZE=FLEX_BLOCK)


def _rows_and_heads(ctx: Context, heads: int) -> tuple[Tensor, Tensor]:
    device = ctx.tokens.device
    rows = torch.arange(ctx.tokens.shape[0], dtype=torch.int32, device=device)
    return rows.view(-1, 1, 1, 1), torch.arange(heads, dtype=torch.int32, device=device).view(1, -1, 1, 1)
