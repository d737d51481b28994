"""Attention in blocks against every query on its own in float64, values and gradients."""

import pytest
import torch
from torch import Tensor

from coregpt.engine.attention import blocks
from coregpt.engine.attention.blocks import blocked_attention

LENGTHS = [1, 24, 128, 200, 300]


def heads(length: int, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    q, k, v = (torch.randn(batch, length, 2, 6, generator=generator, dtype=torch.float64) for _ in range(3))
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


def by_query(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """One query at a time over the keys it may see; zeros for a query that sees none."""
    rows = []
    for t in range(q.shape[1]):
        seen = torch.arange(k.shape[1]) <= t
        allowed = seen.expand(len(q), -1) if mask is None else mask[:, 0, t].expand(len(q), -1)
        scores = torch.einsum("bhd,bjhd->bhj", q[:, t], k) / q.shape[-1] ** 0.5
        weights = scores.exp() * allowed[:, None]
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-300)
        rows.append(torch.einsum("bhj,bjhd->bhd", weights, v))
    return torch.stack(rows, 1)


def window(length: int, size: int, batch: int = 1, first: int = 0) -> Tensor:
    """(batch, 1, T, T): the last `size` keys from `first` on; every row of a batch sees one key less than the last."""
    t = torch.arange(length)
    reach = (size - torch.arange(batch)).view(-1, 1, 1)
    gap = t[:, None] - t
    return ((gap >= 0) & (gap < reach) & (t >= first))[:, None]


def same(got: Tensor, wanted: Tensor, inputs: tuple[Tensor, ...]) -> None:
    up = torch.randn(got.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert (got - wanted).abs().max() < 1e-12
    for mine, theirs in zip(torch.autograd.grad(got, inputs, up), torch.autograd.grad(wanted, inputs, up), strict=True):
        assert (mine - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("length", LENGTHS)
def test_causal(length: int) -> None:
    inputs = heads(length)
    same(blocked_attention(*inputs), by_query(*inputs, None), inputs)


@pytest.mark.parametrize("length", [24, 200, 300])
@pytest.mark.parametrize("batch", [1, 3])
def test_masked_by_one_mask_or_one_for_each_row(length: int, batch: int) -> None:
    inputs, mask = heads(length), window(length, 20, batch)
    same(blocked_attention(*inputs, mask), by_query(*inputs, mask), inputs)


@pytest.mark.parametrize("queries", [4, 9])
def test_as_many_keys_as_a_group_has_queries(queries: int) -> None:
    generator = torch.Generator().manual_seed(queries)
    q, k, v = (
        torch.randn(2, n, h, 6, generator=generator, dtype=torch.float64).requires_grad_()
        for n, h in ((queries, 4), (2 * queries, 2), (2 * queries, 2))
    )
    mask = torch.ones(1, 1, queries, 2 * queries, dtype=torch.bool).tril(queries)
    wanted = by_query(q, k.repeat_interleave(2, 2), v.repeat_interleave(2, 2), mask)
    same(blocked_attention(q, k, v, mask), wanted, (q, k, v))


def test_queries_that_see_nothing_get_zeros_and_give_no_gradient() -> None:
    inputs, mask = heads(300), window(300, 20, first=150)
    out = blocked_attention(*inputs, mask)
    assert torch.equal(out[:, :150], torch.zeros_like(out[:, :150]))
    same(out, by_query(*inputs, mask), inputs)


def test_rows_computed_a_few_at_a_time_are_the_rows_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, mask = heads(24, batch=5), window(24, 9, 5)
    together = [blocked_attention(*inputs), blocked_attention(*inputs, mask)]
    monkeypatch.setattr(blocks, "CACHED_SCORES", 2 * 2 * 24 * 24)
    same(blocked_attention(*inputs), together[0], inputs)
    same(blocked_attention(*inputs, mask), together[1], inputs)


def test_what_a_window_hides_from_a_whole_block_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "QUERY_BLOCK", 8)
    room = torch.empty(10_000)
    products = list(blocks._blocks(room, blocks.Sizes(1, 2, 1, 32, 32), window(32, 4).unsqueeze(3)))
    assert [(start, end, low, high) for _, _, start, end, low, high, _ in products] == [
        (0, 8, 0, 8),
        (8, 16, 0, 16),
        (16, 24, 8, 24),
        (24, 32, 16, 32),
    ]
    assert [tuple(probs.shape) for *_, probs in products] == [(2, 8, 8), (2, 8, 16), (2, 8, 16), (2, 8, 16)]


def test_blocks_of_another_size_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed for any length that had been attended to in shorter blocks before in the same process."""
    inputs = heads(21)
    monkeypatch.setattr(blocks, "QUERY_BLOCK", 8)
    blocked_attention(*inputs)
    monkeypatch.undo()
    same(blocked_attention(*inputs), by_query(*inputs, None), inputs)


def test_a_text_that_grows_keeps_few_tables_of_the_future() -> None:
    blocks._future.cache_clear()
    for length in range(1, 41):
        inputs = heads(length)
        same(blocked_attention(*inputs), by_query(*inputs, None), inputs)
    assert blocks._future.cache_info().currsize == len({1, 2, 4, 8, 16, 32, 64})


def test_divergence_is_not_hidden_by_a_mask_that_blinds_queries() -> None:
    q, k, v = (t.detach().clone() for t in heads(24))
    q[0, 20] = float("nan")
    out = blocked_attention(q, k, v, window(24, 5, first=10))
    assert out[0, 20].isnan().all()
    assert out[1].isfinite().all()


@pytest.mark.parametrize("masked", [False, True])
def test_the_compiler_may_rely_on_what_the_operator_says_of_itself(masked: bool) -> None:
    mask = window(24, 5) if masked else None
    torch.library.opcheck(torch.ops.coregpt.blocked_attention, (*heads(24), mask, 0.4, True, True))


def test_only_keys_that_some_query_may_not_see_are_masked() -> None:
    seen = window(64, 33)[:, :, 40:48, 8:48]  # queries 40 to 47 of 33 keys each: all see 15 to 40
    assert blocks._partly_hidden(seen) == [slice(0, 8), slice(32, 40)]
    assert blocks._partly_hidden(seen[..., 8:32]) == []
    assert blocks._partly_hidden(torch.zeros(1, 1, 8, 16, dtype=torch.bool)) == [slice(0, 16)]
    odd = window(21, 8)[:, :, 10:14, 3:14]  # columns that do not come in eights, one by one
    assert blocks._partly_hidden(odd) == [slice(0, 3), slice(8, 11)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
def test_memory_that_nobody_wrote_is_never_read(masked: bool, dtype: torch.dtype) -> None:
    mask = window(300, 150) if masked else None
    inputs = [t.detach().to(dtype).requires_grad_() for t in heads(300)]

    def found() -> list[Tensor]:
        out = blocked_attention(*inputs, mask)
        return [out, *torch.autograd.grad(out.square().sum(), inputs)]

    wanted = found()
    torch.use_deterministic_algorithms(True)  # fills what is allocated with NaN
    try:
        for mine, other in zip(found(), wanted, strict=True):
            assert torch.equal(mine, other)
    finally:
        torch.use_deterministic_algorithms(False)
