"""Attention against an explicit float64 softmax, and FlexAttention against SDPA."""

import itertools

import pytest
import torch
from torch import Tensor

from coregpt.contract.context import Context
from coregpt.engine.attention.attend import attend, block_mask, build_mask
from coregpt.engine.attention.masks import SameDocument, SlidingWindow, document_numbers

RULES = {
    "causal": (),
    "window": (SlidingWindow("window"),),
    "half window": (SlidingWindow("window", share=0.5),),
    "blocks": (SlidingWindow("window", block=3),),
    "documents": (SameDocument(),),
    "both": (SameDocument(), SlidingWindow("window")),
}


def context(batch: int = 2, length: int = 128, window: float = 20.0, device: str = "cpu") -> Context:
    tokens = torch.randint(0, 12, (batch, length), generator=torch.Generator().manual_seed(3)).to(device)
    return Context(tokens, {"window": torch.tensor(window, device=device)}, document_numbers(tokens, 0))


def by_hand(q: Tensor, k: Tensor, v: Tensor, ctx: Context, window: float | None, documents: bool) -> Tensor:
    """Loops over every query; q, k, v (B, T, H, D) in float64."""
    out = torch.zeros_like(q)
    ids = ctx.tokens.tolist()
    for b, t, h in itertools.product(range(q.shape[0]), range(q.shape[1]), range(q.shape[2])):
        seen = [
            j
            for j in range(t + 1)
            if (window is None or t - window < j) and not (documents and 0 in ids[b][j + 1 : t + 1])
        ]
        scores = torch.stack([q[b, t, h] @ k[b, j, h] for j in seen]) / q.shape[-1] ** 0.5
        out[b, t, h] = torch.softmax(scores, 0) @ v[b, seen, h]
    return out


def heads(length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, length, 2, 16, generator=generator, dtype=dtype) for _ in range(3))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "window", "documents"),
    [
        ("causal", None, False),
        ("window", 5, False),
        ("half window", 2, False),
        ("documents", None, True),
        ("both", 5, True),
    ],
)
def test_masked_attention_equals_loops(name: str, window: float | None, documents: bool) -> None:
    ctx = context(length=24, window=5)
    q, k, v = heads(24, torch.float64)
    got = attend(q, k, v, build_mask(RULES[name], ctx))
    assert torch.allclose(got, by_hand(q, k, v, ctx, window, documents), atol=1e-12)


@pytest.mark.parametrize("window", [1, 2.0, torch.tensor(3.0), 7, 11])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("block", [1, 2, 4])
def test_a_window_counts_whole_blocks_of_keys_the_query_s_own_included(window, share, block) -> None:
    tokens = torch.ones(1, 13, dtype=torch.long)
    mask = build_mask((SlidingWindow("window", share, block),), Context(tokens, {"window": window}))
    blocks = max(1, int(share * float(window) / block))
    for q, k in itertools.product(range(13), range(13)):
        assert bool(mask[0, 0, q, k]) == (k <= q and q // block - k // block < blocks)


@pytest.mark.parametrize("name", [name for name in RULES if name != "causal"])
def test_flex_attention_gives_the_numbers_of_sdpa(name: str) -> None:
    ctx = context(length=256)
    q, k, v = heads(256, torch.float32)
    dense, blocks = build_mask(RULES[name], ctx), block_mask(RULES[name], ctx)
    assert isinstance(dense, Tensor)
    assert (attend(q, k, v, dense) - attend(q, k, v, blocks)).abs().max() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlexAttention has no backward pass on CPU")
def test_flex_attention_gives_the_gradients_of_sdpa() -> None:
    device = "cuda"
    ctx = context(length=128, device=device)
    grads = []
    dense = build_mask(RULES["both"], context(length=128)).to(device)
    for mask in (dense, block_mask(RULES["both"], ctx)):
        q, k, v = (t.to(device).requires_grad_() for t in heads(128, torch.float32))
        attend(q, k, v, mask).square().sum().backward()
        grads.append([t.grad for t in (q, k, v)])
    for plain, flex in zip(*grads, strict=True):
        assert (plain - flex).abs().max() < 1e-5


def test_a_window_as_long_as_the_row_is_causal() -> None:
    ctx = context(length=24, window=24)
    mask = build_mask(RULES["window"], ctx)
    assert isinstance(mask, Tensor)
    assert torch.equal(mask[0, 0], torch.ones(24, 24, dtype=torch.bool).tril())


def test_without_separators_documents_are_plain_causal() -> None:
    tokens = torch.ones(2, 9, dtype=torch.long)
    ctx = Context(tokens, {}, document_numbers(tokens, 0))
    mask = build_mask((SameDocument(),), ctx)
    assert isinstance(mask, Tensor)
    assert torch.equal(mask[1, 0], torch.ones(9, 9, dtype=torch.bool).tril())


def test_a_separator_belongs_to_the_document_it_opens() -> None:
    assert document_numbers(torch.tensor([[5, 0, 5, 5, 0, 0, 5]]), 0).tolist() == [[0, 1, 1, 1, 2, 3, 3]]


@pytest.mark.parametrize("length", [1, 24, 128, 200, 300])
def test_bf16_on_cpu_equals_float64_up_to_rounding(length: int) -> None:
    exact = [t.requires_grad_() for t in heads(length, torch.float64)]
    rounded = [t.detach().bfloat16().requires_grad_() for t in exact]
    upstream = torch.randn(2, length, 2, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in exact), is_causal=True)
    wanted = wanted.transpose(1, 2)
    got = attend(*rounded, None)
    assert got.dtype == torch.bfloat16
    (wanted * upstream).sum().backward()
    (got * upstream.bfloat16()).sum().backward()
    assert (got.double() - wanted).abs().max() < 2e-2 * wanted.abs().max()
    for mine, theirs in zip(rounded, exact, strict=True):
        error = (mine.grad.double() - theirs.grad).norm()
        assert error < 2e-2 * theirs.grad.norm() + 1e-2


def test_masks_have_heads_only_where_a_rule_tells_them_apart() -> None:
    ctx = context(length=24)
    near = lambda b, h, q, k, ctx: q - k <= 2 * h  # noqa: E731
    mask = build_mask((near, SlidingWindow("window")), ctx, heads=3)
    assert isinstance(mask, Tensor)
    assert mask.shape == (1, 3, 24, 24)
    assert build_mask(RULES["both"], ctx, heads=3).shape == (2, 1, 24, 24)  # type: ignore[union-attr]
    for h, q, k in itertools.product(range(3), range(24), range(24)):
        assert bool(mask[0, h, q, k]) == (0 <= q - k <= 2 * h)


@pytest.mark.parametrize("per_row", [False, True])
def test_rules_see_tokens_where_heads_are_paired_and_indices_keep_order(per_row: bool) -> None:
    ctx = context(length=6, window=2)
    places = torch.arange(6).repeat_interleave(2)
    given = places.expand(2, -1).clone() if per_row else places
    mask = build_mask(RULES["both"], ctx, given)
    assert isinstance(mask, Tensor)
    assert mask.shape == (2, 1, 12, 12)
    inside = build_mask(RULES["both"], ctx)
    assert isinstance(inside, Tensor)
    for b, q, k in itertools.product(range(2), range(12), range(12)):
        assert bool(mask[b, 0, q, k]) == (k <= q and bool(inside[b, 0, q // 2, k // 2]))


@pytest.mark.parametrize("places", [None, torch.arange(128).repeat_interleave(2)])
def test_blocks_and_dense_masks_are_the_same(places: Tensor | None) -> None:
    near = lambda b, h, q, k, ctx: q - k <= 30 * h  # noqa: E731
    ctx = context(length=128 if places is not None else 256)
    for rules, shape in (((near, *RULES["documents"]), (2, 3)), (RULES["window"], (1, 1)), ((near,), (1, 3))):
        sparse = block_mask(rules, ctx, places, heads=3)
        assert sparse.shape == (*shape, 256, 256)
        dense = build_mask(rules, ctx, places, heads=3)
        assert isinstance(dense, Tensor)
        b, h, q, k = torch.meshgrid(
            torch.arange(shape[0]), torch.arange(shape[1]), torch.arange(256), torch.arange(256), indexing="ij"
        )
        assert torch.equal(sparse.mask_mod(b, h, q, k), dense)
