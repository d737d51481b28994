"""`attend` in every combination against float64, one query at a time: values and all gradients."""

import pytest
import torch
from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.contract.errors import PluginError
from coregpt.engine.attention import blocks, scores
from coregpt.engine.attention.attend import attend, block_mask, build_mask
from coregpt.engine.attention.scores import Attended
from tests.engine.attention.attending import KINDS, SIZES, a_mask, by_query, inputs, whole

ROUNDING = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of queries, the last of them short, and a few rows at a time."""
    for module in (blocks, scores):
        monkeypatch.setattr(module, "QUERY_BLOCK", 8)
    monkeypatch.setattr(blocks, "CACHED_SCORES", 2 * 3 * 8 * 21)


class Bent(nn.Module):
    """A rule with parameters, that depends on everything it is given."""

    def __init__(self, heads: int, dtype: torch.dtype):
        super().__init__()
        self.slope = nn.Parameter(torch.linspace(0.1, 0.4, heads, dtype=dtype))

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context | None) -> Tensor:
        assert score.dtype in (torch.float32, torch.float64)
        return 2 * torch.tanh(score / 2) - self.slope[h] * (q - k) + 0.1 * b.to(score.dtype)


def check(got: Tensor, wanted: Tensor, dtype: torch.dtype, what: str) -> None:
    finite = wanted.isfinite()
    assert torch.equal(got.isfinite(), finite), what
    error = (got.double() - wanted)[finite].abs().max() / (1 + wanted[finite].abs().max())
    assert error < ROUNDING[dtype], f"{what}: {error:.1e}"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("ruled", [False, True], ids=["", "ruled"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients(size: str, kind: str, ruled: bool, dtype: torch.dtype) -> None:
    (heads, key_heads), widths = SIZES[size]
    queries, keys = (21, 21) if kind != "random" else (11, 19)
    exact = inputs(3, queries, keys, (heads, key_heads), widths)
    mask = a_mask(kind, 3, heads, queries, keys)
    given = [t.detach().to(dtype).requires_grad_() for t in exact]
    rounded = [t.detach().double().requires_grad_() for t in given]
    wide = torch.promote_types(dtype, torch.float32)
    rule, slow = Bent(heads, wide), Bent(heads, torch.float64)

    def change(score: Tensor, b: int, h: int, t: int) -> Tensor:
        return 2 * torch.tanh(score / 2) - slow.slope[h] * (t - torch.arange(keys)) + 0.1 * b

    found = attend(*given, mask, scores=[rule] if ruled else [], lse=True, top=True, scale=0.7)
    assert isinstance(found, Attended)
    assert found.y.dtype == dtype
    assert found.lse.dtype == found.top.dtype == wide
    assert not found.top.requires_grad
    seen = whole(mask, 3, heads, queries, keys)
    y, lse, top = by_query(*rounded, seen, 0.7, change if ruled else None)
    for name, got, wanted in (("y", found.y, y), ("lse", found.lse, lse), ("top", found.top, top)):
        check(got, wanted, dtype, name)
    alone = attend(*given, mask, scores=[rule] if ruled else [], scale=0.7)
    check(alone, y, dtype, "y alone")

    generator = torch.Generator().manual_seed(1)
    up = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    up_lse = torch.randn(lse.shape, generator=generator, dtype=torch.float64).masked_fill(lse.isinf(), 0)
    mine = [*given, rule.slope] if ruled else given
    theirs = [*rounded, slow.slope] if ruled else rounded
    got_loss = (found.y.double() * up).sum() + (found.lse.double().masked_fill(lse.isinf(), 0) * up_lse).sum()
    wanted_loss = (y * up).sum() + (lse.masked_fill(lse.isinf(), 0) * up_lse).sum()
    for name, got, wanted in zip(
        ("q", "k", "v", "slope"),
        torch.autograd.grad(got_loss, mine),
        torch.autograd.grad(wanted_loss, theirs),
        strict=False,
    ):
        check(got, wanted, dtype, f"gradient of {name}")


@pytest.mark.parametrize("kind", KINDS)
def test_fp16(kind: str) -> None:
    queries, keys = (21, 21) if kind != "random" else (11, 19)
    given = [t.detach().half() for t in inputs(2, queries, keys, (4, 2), (4, 6))]
    mask = a_mask(kind, 2, 4, queries, keys)
    wanted, _, _ = by_query(*(t.double() for t in given), whole(mask, 2, 4, queries, keys))
    check(attend(*given, mask), wanted, torch.float16, "y")


@pytest.mark.parametrize("mask", ["window", "documents"])
def test_wide_values_under_autocast(mask: str) -> None:
    """Multi-head latent attention, whose values have another width than its keys, crashed here."""
    q, k, v = (t.detach().float().requires_grad_() for t in inputs(2, 21, 21, (2, 2), (6, 4)))
    seen = a_mask(mask, 2, 2, 21, 21)
    with torch.autocast("cpu", torch.bfloat16):
        y = attend(q, k, v, seen)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    exact = [t.detach().double().requires_grad_() for t in (q, k, v)]
    wanted, _, _ = by_query(*exact, whole(seen, 2, 2, 21, 21))
    check(y, wanted, torch.bfloat16, "y")
    wanted.square().sum().backward()
    for got, slow in zip((q, k, v), exact, strict=True):
        check(got.grad, slow.grad, torch.bfloat16, "gradient")


def test_gradients_of_the_sums_alone() -> None:
    given = inputs(2, 21, 21, (4, 2), (4, 6))
    _, lse, _ = by_query(*given, whole(None, 2, 4, 21, 21))
    wanted = torch.autograd.grad(lse.square().sum(), given[:2])
    got = torch.autograd.grad(attend(*given, None, lse=True).lse.square().sum(), given[:2])
    for mine, theirs in zip(got, wanted, strict=True):
        check(mine, theirs, torch.float64, "gradient")


def test_what_is_not_asked_for_is_empty() -> None:
    found = attend(*inputs(1, 4, 4, (2, 2), (4, 4)), None, lse=False, top=False)
    assert isinstance(found, Attended)
    assert found.lse.numel() == found.top.numel() == 0


def test_keys_that_nobody_sees_are_left_out_of_ruled_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context | None) -> Tensor:
        asked.append((int(q.min()), int(q.max()), int(k.min()), int(k.max())))
        return score

    given = inputs(1, 32, 32, (2, 2), (4, 4))
    attend(*given, a_mask("window", 1, 2, 32, 32), scores=[spy])
    assert asked == [(0, 7, 0, 7), (8, 15, 0, 15), (16, 23, 8, 23), (24, 31, 16, 31)]


@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("kind", ["causal", "by head"])
def test_compiled_is_one_graph_with_the_same_numbers(kind: str, ruled: bool) -> None:
    given = inputs(2, 21, 21, (4, 2), (4, 6))
    mask, rule = a_mask(kind, 2, 4, 21, 21), Bent(4, torch.float64)

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = attend(q, k, v, mask, scores=[rule] if ruled else [], lse=True, top=True)
        return (found.y.sin().sum() + found.lse.cos().sum()) * found.top.sum()

    wanted = torch.autograd.grad(call(*given), given)
    compiled = torch.compile(call, fullgraph=True, dynamic=False, backend="aot_eager")
    for mine, theirs in zip(torch.autograd.grad(compiled(*given), given), wanted, strict=True):
        check(mine, theirs, torch.float64, "gradient")


@pytest.mark.parametrize("kind", ["plain", "grouped", "narrow values"])
def test_flex_attention_takes_rules_groups_and_widths(kind: str) -> None:
    (heads, key_heads), widths = SIZES[kind]
    given = [t.detach().float() for t in inputs(2, 128, 128, (heads, key_heads), tuple(4 * w for w in widths))]
    ctx = Context(torch.zeros(2, 128, dtype=torch.long), {})
    by_head, rule = (lambda b, h, q, k, ctx: k >= q - 20 * h,), Bent(heads, torch.float32)
    dense, sparse = (make(by_head, ctx, heads=heads) for make in (build_mask, block_mask))
    assert dense.shape == (1, heads, 128, 128)
    assert sparse.shape == (1, heads, 128, 128)
    with torch.no_grad():
        got, wanted = (attend(*given, mask, scores=[rule], ctx=ctx) for mask in (sparse, dense))
    assert (got - wanted).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("shapes", "mask", "message"),
    [
        (((1, 4, 3, 8), (1, 4, 2, 8), (1, 4, 2, 8)), None, "must be a multiple"),
        (((1, 4, 2, 8), (1, 4, 2, 6), (1, 4, 2, 8)), None, "q and k must agree in rows and width"),
        (((1, 4, 2, 8), (1, 4, 2, 8), (1, 5, 2, 8)), None, "k and v must agree"),
        (((1, 4, 2, 8), (1, 5, 2, 8), (1, 5, 2, 8)), None, "as many queries as keys, or a mask"),
        (((1, 4, 2, 8), (1, 5, 2, 8), (1, 5, 2, 8)), (1, 1, 4, 4), r"must be bool \(B or 1, H or 1, T, S\)"),
        (((1, 4, 2, 8), (1, 4, 2, 8), (1, 4, 2, 8)), (1, 3, 4, 4), r"must be bool \(B or 1, H or 1, T, S\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, mask, message) -> None:
    q, k, v = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(PluginError, match=message):
        attend(q, k, v, None if mask is None else torch.ones(mask, dtype=torch.bool))


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_rules_see_the_tokens_that_indices_stand_for(rows: int) -> None:
    given = inputs(2, 12, 12, (2, 2), (4, 4))
    places = torch.arange(6).repeat_interleave(2)

    def distance(score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context | None) -> Tensor:
        return score - 0.5 * (q - k)

    wanted, _, _ = by_query(
        *given, whole(None, 2, 2, 12, 12), change=lambda s, b, h, t: s - 0.5 * (t // 2 - torch.arange(12) // 2)
    )
    stand = places.expand(rows, -1) if rows else places
    check(attend(*given, None, scores=[distance], places=stand), wanted, torch.float64, "y")
