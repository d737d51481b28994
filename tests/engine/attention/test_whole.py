"""An attention branch in one operation, or its second half, against plain operations in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coregpt.contract.heads import Heads
from coregpt.engine.arithmetic.ends import accumulating
from coregpt.engine.arithmetic.fused import rms_norm
from coregpt.engine.attention.whole import attended_product, attention_branch

KINDS = [Heads(2, 2, 4, 4), Heads(4, 2, 4, 4), Heads(2, 2, 4, 6), Heads(4, 1, 2, 4)]
DIM = 6


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weights(heads: Heads) -> list[tuple[int, int]]:
    """Shapes of q, k, v and out."""
    q, k, v = heads.query * heads.width, heads.keys * heads.width, heads.keys * heads.value_width
    return [(q, DIM), (k, DIM), (v, DIM), (DIM, heads.query * heads.value_width)]


def written(x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """x + out(softmax(q k^T / sqrt(D)) v), from the definition; each query sees something."""
    group = q.shape[2] // k.shape[2]
    k, v = (t.repeat_interleave(group, 2) for t in (k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    probs = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return x + F.linear(torch.einsum("bhqk,bkhd->bqhd", probs, v).flatten(-2), weight)


def plain(x: Tensor, heads: Heads, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> Tensor:
    h = rms_norm(x)
    parts = [
        F.linear(h, weight).unflatten(-1, (n, -1))
        for weight, n in zip((q, k, v), (heads.query, heads.keys, heads.keys), strict=True)
    ]
    length = x.shape[1]
    return written(x, *parts, torch.ones(length, length, dtype=torch.bool).tril(), out)


@pytest.mark.parametrize("heads", KINDS)
def test_gradients_are_those_of_finite_differences(heads: Heads) -> None:
    given = [random(*shape, seed=i).requires_grad_() for i, shape in enumerate(((2, 3, DIM), *weights(heads)))]
    assert torch.autograd.gradcheck(lambda x, q, k, v, out: attention_branch(x, heads, (q, k, v), out), given)


@pytest.mark.parametrize("heads", KINDS)
@pytest.mark.parametrize("length", [1, 40, 300])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_branch_is_the_plain_operations(heads: Heads, length: int, bf16: bool) -> None:
    dtype = torch.float32 if bf16 else torch.float64
    given = [random(*shape, seed=i, dtype=dtype) for i, shape in enumerate(((2, length, DIM), *weights(heads)))]
    mine, exact = ([t.clone().to(kind).requires_grad_() for t in given] for kind in (dtype, torch.float64))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        got = attention_branch(mine[0], heads, mine[1:4], mine[4])
    wanted = plain(exact[0], heads, *exact[1:])
    assert got.dtype == dtype
    up = random(2, length, DIM, seed=9, dtype=dtype)
    kept = up.clone()
    got.backward(up)
    assert torch.equal(up, kept)
    wanted.backward(up.double())
    limit = 0.05 if bf16 else 1e-12
    for one, other in ((got, wanted), *((m.grad, e.grad) for m, e in zip(mine, exact, strict=True))):
        assert one is not None
        assert other is not None
        assert (one - other).abs().max() <= limit * (other.abs().max() + 1)


@pytest.mark.parametrize("heads", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_heads_that_somebody_turned_are_attended_and_added(heads: Heads, masked: bool) -> None:
    length, causal = 140, torch.ones(140, 140, dtype=torch.bool).tril()
    mask = causal & causal.triu(-30) if masked else None
    widths = (heads.query, heads.width), (heads.keys, heads.width), (heads.keys, heads.value_width)
    given = [random(2, length, DIM), *(random(2, length, *each, seed=i) for i, each in enumerate(widths, 1))]
    given.append(random(DIM, heads.query * heads.value_width, seed=5))
    for t in given:
        t.requires_grad_()
    x, q, k, v, out = given
    got = attended_product(x, q, k, v, None if mask is None else mask[None, None], out)
    wanted = written(x, q, k, v, causal if mask is None else mask, out)
    up = random(2, length, DIM, seed=9)
    assert (got - wanted).abs().max() < 1e-12
    for one, other in zip(*(torch.autograd.grad(each, given, up) for each in (got, wanted)), strict=True):
        assert (one - other).abs().max() < 1e-11


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("watched", [False, True])
def test_gradients_are_added_where_they_lie(together: bool, watched: bool) -> None:
    """Of weights beside each other in one memory, as in an optimizer stack, or each in its own; one is frozen where
    they are apart, and one may have a hook."""
    heads = KINDS[0]
    shapes = weights(heads)
    rows = sum(len_ for len_, _ in shapes[:3])
    memory, room = random(rows, DIM, seed=1), torch.ones(rows, DIM, dtype=torch.float64)
    sizes = [len_ for len_, _ in shapes[:3]]
    parts = [t if together else t.clone() for t in memory.split(sizes)]
    reading = [torch.nn.Parameter(part, requires_grad=together or i != 1) for i, part in enumerate(parts)]
    x, out = random(2, 7, DIM).requires_grad_(), torch.nn.Parameter(random(*shapes[3], seed=2))

    def loss() -> Tensor:
        return attention_branch(x, heads, reading, out).square().sum()

    moved = [weight for weight in (*reading, out) if weight.requires_grad]
    wanted = torch.autograd.grad(plain(x, heads, *reading, out).square().sum(), moved)
    grads = [t if together else t.clone() for t in room.split(sizes)]
    for weight, grad in zip(reading, grads, strict=True):
        weight.grad = grad if weight.requires_grad else None
    out.grad = torch.ones_like(out)
    seen: list[Tensor] = []
    if watched:
        reading[0].register_hook(seen.append)
    with accumulating():
        loss().backward()
    for weight, grad in zip(moved, wanted, strict=True):
        torch.testing.assert_close(weight.grad, 1 + grad)
    assert len(seen) == watched
    if watched:
        torch.testing.assert_close(seen[0], wanted[0])
    if together:
        torch.testing.assert_close(room, 1 + torch.cat(wanted[:3]))
