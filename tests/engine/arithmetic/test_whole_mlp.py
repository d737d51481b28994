"""An MLP branch in one operation, against the plain operations in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coregpt.engine.arithmetic.ends import accumulating
from coregpt.engine.arithmetic.fused import rms_norm
from coregpt.engine.arithmetic.whole_mlp import mlp_branch


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain(x: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return x + F.linear(F.gelu(F.linear(rms_norm(x), up)), down)


def test_its_gradient_is_that_of_finite_differences() -> None:
    inputs = [random(*shape, seed=i).requires_grad_() for i, shape in enumerate(((2, 3, 4), (6, 4), (4, 6)))]
    assert torch.autograd.gradcheck(mlp_branch, inputs)


@pytest.mark.parametrize("bf16", [False, True])
def test_it_is_the_plain_operations(bf16: bool) -> None:
    dtype = torch.float32 if bf16 else torch.float64
    given = [random(*shape, seed=i, dtype=dtype) for i, shape in enumerate(((2, 5, 8), (24, 8), (8, 24)))]
    mine, exact = ([t.clone().to(kind).requires_grad_() for t in given] for kind in (dtype, torch.float64))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        got = mlp_branch(*mine)
    wanted = plain(*exact)
    assert got.dtype == dtype
    up = random(2, 5, 8, seed=9, dtype=dtype)
    got.backward(up)
    wanted.backward(up.double())
    limit = 0.03 if bf16 else 1e-13
    for one, other in ((got, wanted), *((m.grad, e.grad) for m, e in zip(mine, exact, strict=True))):
        assert one is not None
        assert other is not None
        assert (one - other).abs().max() < limit * other.abs().max()


def test_gradients_are_added_where_they_lie_and_frozen_weights_get_none() -> None:
    x, up, down = random(5, 4).requires_grad_(), random(6, 4, seed=1).requires_grad_(), random(4, 6, seed=2)
    (wanted,) = torch.autograd.grad(plain(x, up, down).square().sum(), up)
    up.grad = kept = torch.ones_like(up)
    with accumulating():
        mlp_branch(x, up, down).square().sum().backward()
    assert up.grad is kept
    torch.testing.assert_close(kept, 1 + wanted)
    assert down.grad is None


def test_the_gradient_from_above_is_left_as_it_was() -> None:
    x, up, down = random(5, 4).requires_grad_(), random(6, 4, seed=1), random(4, 6, seed=2)
    above = random(5, 4, seed=3)
    kept = above.clone()
    mlp_branch(x, up, down).backward(above)
    assert torch.equal(above, kept)
