"""Compiled FlexAttention against SDPA: output, sums, largest scores and every gradient, under every kind of mask."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.engine.attention.attend import attend, block_mask, build_mask
from coregpt.engine.attention.masks import SameDocument, SlidingWindow, document_numbers
from tests.gpu.tiny import some

pytestmark = pytest.mark.gpu
ROWS, LENGTH = 2, 384
MASKS: dict[str, tuple[Any, ...]] = {
    "causal": (),
    "window": (SlidingWindow("window"),),
    "half window in blocks": (SlidingWindow("window", share=0.5, block=16),),
    "documents": (SameDocument(),),
    "window of documents": (SameDocument(), SlidingWindow("window")),
    "by head": (lambda b, h, q, k, ctx: k >= q - 24 * (h + 1),),
}
SIZES = {  # query and key heads; width of queries and keys, and of values
    "plain": ((4, 4), (64, 64)),
    "grouped": ((4, 2), (64, 64)),
    "one key head": ((3, 1), (32, 32)),
    "wide values": ((2, 2), (32, 128)),
    "narrow values": ((4, 2), (64, 16)),
}
LIMITS = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Of the largest error in units of the reference's largest number; some four roundings of sums of hundreds of terms."""


class Slope(nn.Module):
    """A score rule with a learned slope for each head, as ALiBi's."""

    def __init__(self, heads: int, device: str):
        super().__init__()
        self.slopes = nn.Parameter(torch.linspace(0.01, 0.1, heads, device=device))

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context | None) -> Tensor:
        return score - self.slopes[h] * (q - k)


def cap(score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context | None) -> Tensor:
    return 4 * torch.tanh(score / 4)


def context(device: str) -> Context:
    tokens = torch.randint(0, 40, (ROWS, LENGTH), generator=torch.Generator().manual_seed(3)).to(device)
    return Context(tokens, {"window": torch.tensor(70.0, device=device)}, document_numbers(tokens, 0))


def heads(device: str, size: str, dtype: torch.dtype) -> list[Tensor]:
    (query, key), (width, values) = SIZES[size]
    generator = torch.Generator().manual_seed(0)
    shapes = (query, width), (key, width), (key, values)
    return [torch.randn(ROWS, LENGTH, *s, generator=generator).to(device, dtype).requires_grad_() for s in shapes]


def compare(names: Sequence[str], got: Sequence[Tensor], wanted: Sequence[Tensor], limit: float) -> None:
    for name, mine, theirs in zip(names, got, wanted, strict=True):
        error = float((mine.double() - theirs).abs().max() / theirs.abs().max())
        assert error < limit, f"{name} is off by {error:.1e} of its largest number"


def both(call: Callable[..., tuple[Tensor, ...]], given: list[Tensor], more: list[Tensor], grads: bool) -> list[Tensor]:
    """Outputs of `call`, and gradients of their sine's sum by inputs and by `more`."""
    with torch.set_grad_enabled(grads):
        outputs = call(*(given if grads else [t.detach() for t in given]))
        if not grads:
            return list(outputs)
        total = sum((y.float() if y.dtype != torch.float64 else y).sin().sum() for y in outputs)
        return [*outputs, *torch.autograd.grad(total, [*given, *more])]


@pytest.mark.parametrize("size", some(SIZES, "grouped", "wide values"))
@pytest.mark.parametrize("mask", some(MASKS, "causal", "window of documents", "by head"))
def test_every_mask_and_size(mask: str, size: str, device: str, dry: bool) -> None:
    ctx = context(device)
    query = SIZES[size][0][0]
    given = heads(device, size, torch.float32)
    exact = [t.detach().double().requires_grad_() for t in given]
    dense, sparse = build_dense(MASKS[mask], ctx, query), block_mask(MASKS[mask], ctx, heads=query)

    def plain(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        return (attend(q, k, v, dense),)

    def flex(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        return (attend(q, k, v, sparse),)

    wanted = both(plain, exact, [], not dry)
    got = both(flex if dry else torch.compile(flex, fullgraph=True, dynamic=False), given, [], not dry)
    compare(("y", "q", "k", "v")[: len(got)], got, wanted, LIMITS[torch.float32])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", some(["grouped", "wide values"], "grouped"))
def test_low_precision(dtype: torch.dtype, size: str, device: str, dry: bool) -> None:
    ctx = context(device)
    given = heads(device, size, dtype)
    exact = [t.detach().double().requires_grad_() for t in given]
    rules, query = MASKS["window of documents"], SIZES[size][0][0]
    dense, sparse = build_dense(rules, ctx, query), block_mask(rules, ctx)

    def flex(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        return (attend(q, k, v, sparse),)

    wanted = both(lambda q, k, v: (attend(q, k, v, dense),), exact, [], not dry)
    got = both(flex if dry else torch.compile(flex, fullgraph=True, dynamic=False), given, [], not dry)
    compare(("y", "q", "k", "v")[: len(got)], got, wanted, LIMITS[dtype])


@pytest.mark.parametrize("size", some(["plain", "grouped", "narrow values"], "narrow values"))
@pytest.mark.parametrize("mask", ["causal", "window of documents", "by head"])
def test_score_rules_and_statistics(mask: str, size: str, device: str, dry: bool) -> None:
    """A capped score with a learned slope, in one graph with the sums of the softmax and its largest scores."""
    ctx, query = context(device), SIZES[size][0][0]
    slope = Slope(query, device).requires_grad_(not dry)
    given = heads(device, size, torch.float32)
    dense, sparse = build_dense(MASKS[mask], ctx, query), block_mask(MASKS[mask], ctx, heads=query)

    def call(kind: Any, rules: list[Any]) -> Callable[..., tuple[Tensor, ...]]:
        def asked(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
            found = attend(q, k, v, kind, scores=rules, ctx=ctx, lse=not dry, top=not dry)
            return (found.y,) if dry else (found.y, found.lse, found.top)

        return asked

    exact = [t.detach().double().requires_grad_() for t in given]
    slow = Slope(query, device).double()
    with torch.no_grad():
        slow.slopes.copy_(slope.slopes)
    wanted = both(detached(call(dense, [cap, slow])), exact, [slow.slopes], not dry)
    flex = call(sparse, [cap, slope])
    compiled = flex if dry else torch.compile(flex, fullgraph=True, dynamic=False)
    got = both(detached(compiled), given, [slope.slopes], not dry)
    names = ("y",) if dry else ("y", "lse", "top", "q", "k", "v", "slopes")
    compare(names, got, wanted, LIMITS[torch.float32])


def detached(call: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    """The largest scores have no gradient."""
    return lambda *given: tuple(y if y.requires_grad or not torch.is_grad_enabled() else y + 0 for y in call(*given))


def build_dense(rules: tuple[Any, ...], ctx: Context, query: int) -> Tensor | None:
    """The bool mask that a CPU would be given, on the device of `ctx`."""
    on_cpu = Context(
        ctx.tokens.cpu(),
        {key: value.cpu() if isinstance(value, Tensor) else value for key, value in ctx.dials.items()},
        None if ctx.documents is None else ctx.documents.cpu(),
    )
    mask = build_mask(rules, on_cpu, heads=query)
    return mask.to(ctx.tokens.device) if isinstance(mask, Tensor) else None
