"""Both ends of a branch in one operation each, against the plain operations in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coregpt.engine.arithmetic.ends import accumulating, added_product, neighbours, normed_products
from coregpt.engine.arithmetic.fused import rms_norm


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_products_of_a_norm_have_the_gradient_of_finite_differences() -> None:
    x, a, b = (random(*shape, seed=i).requires_grad_() for i, shape in enumerate(((2, 3, 4), (6, 4), (2, 4))))
    assert torch.autograd.gradcheck(lambda x, a, b: normed_products(x, (a, b), ((3, 2), (2,))), (x, a, b))


def test_a_product_on_the_stream_has_the_gradient_of_finite_differences() -> None:
    x, y, weight = (
        random(*shape, seed=i).requires_grad_() for i, shape in enumerate(((2, 3, 4), (2, 3, 2, 3), (4, 6)))
    )
    assert torch.autograd.gradcheck(added_product, (x, y, weight))


@pytest.mark.parametrize("bf16", [False, True])
def test_both_ends_are_the_plain_operations(bf16: bool) -> None:
    """Values and gradients; under autocast to the rounding of bf16, against plain operations in float64."""
    dtype = torch.float32 if bf16 else torch.float64
    given = [random(*shape, seed=i, dtype=dtype) for i, shape in enumerate(((2, 5, 8), (12, 8), (12, 8), (8, 12)))]
    up = random(2, 5, 8, seed=9, dtype=dtype)
    mine, exact = ([t.clone().to(kind).requires_grad_() for t in given] for kind in (dtype, torch.float64))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        a, b = normed_products(mine[0], mine[1:3], ((3, 4), (12,)))
        got = added_product(mine[0], a.flatten(-2) * b, mine[3])
    h = rms_norm(exact[0])
    wanted = exact[0] + F.linear(F.linear(h, exact[1]) * F.linear(h, exact[2]), exact[3])
    assert got.dtype == dtype
    got.backward(up)
    wanted.backward(up.double())
    limit = 0.03 if bf16 else 1e-13
    for one, other in ((got, wanted), *((m.grad, e.grad) for m, e in zip(mine, exact, strict=True))):
        assert one is not None
        assert other is not None
        assert (one - other).abs().max() < limit * other.abs().max()


def test_gradients_are_added_where_they_lie_inside_a_training_step_only() -> None:
    x, weight, down = (random(*shape, seed=i).requires_grad_() for i, shape in enumerate(((5, 4), (6, 4), (4, 6))))

    def loss() -> Tensor:
        return added_product(x, normed_products(x, (weight,), ((6,),))[0], down).square().sum()

    plain = torch.autograd.grad(loss(), (weight, down))
    weight.grad, down.grad = torch.ones_like(weight), torch.ones_like(down)
    kept = weight.grad
    with accumulating():
        loss().backward()
    assert weight.grad is kept
    torch.testing.assert_close(weight.grad, 1 + plain[0])
    torch.testing.assert_close(down.grad, 1 + plain[1])
    seen: list[Tensor] = []
    weight.register_hook(seen.append)
    with accumulating():
        loss().backward()
    torch.testing.assert_close(seen[0], plain[0])
    torch.testing.assert_close(weight.grad, 1 + 2 * plain[0])


def test_gradients_that_lie_in_one_memory_are_added_each_in_its_place() -> None:
    """As those of one optimizer stack do; one output may be seen through a transposition."""
    x, memory, room = random(3, 5, 4).requires_grad_(), random(7, 4, seed=1), torch.ones(7, 4, dtype=torch.float64)
    weights = [torch.nn.Parameter(each) for each in memory.split((4, 3))]

    def loss() -> Tensor:
        a, b = normed_products(x, weights, ((2, 2), (3,)))
        return (a.transpose(1, 2) * random(3, 2, 5, 2, seed=2)).sum() + b.square().sum()

    wanted = torch.autograd.grad(loss(), weights)
    for weight, grad in zip(weights, room.split((4, 3)), strict=True):
        weight.grad = grad
    with accumulating():
        loss().backward()
    torch.testing.assert_close(room, 1 + torch.cat(wanted))


def test_one_of_two_outputs_may_be_unused_and_both_may_be_written_to() -> None:
    x, memory = random(5, 4).requires_grad_(), random(6, 4, seed=1)
    weights = [torch.nn.Parameter(each) for each in memory.split(3)]
    a, b = normed_products(x, weights, ((3,), (3,)))
    kept = b.detach().clone()
    a.mul_(2).square_()
    assert torch.equal(b, kept)
    got = torch.autograd.grad(a.sum(), (x, weights[0]))
    wanted = torch.autograd.grad((2 * F.linear(rms_norm(x), weights[0])).square().sum(), (x, weights[0]))
    torch.testing.assert_close(got, wanted)


def test_weights_that_are_frozen_get_no_gradient() -> None:
    x, weight, down = random(5, 4).requires_grad_(), random(6, 4, seed=1), random(4, 6, seed=2)
    added_product(x, normed_products(x, (weight,), ((6,),))[0], down).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
    assert down.grad is None


@pytest.mark.parametrize("together", [False, True])
def test_products_in_low_precision_are_those_of_each_weight(together: bool) -> None:
    """Beside each other in memory or not: values, gradients, an output nobody reads and one that is written to."""
    x, memory = random(5, 8, dtype=torch.float32).requires_grad_(), random(9, 8, seed=1, dtype=torch.float32)
    parts = [part if together else part.clone() for part in memory.split((4, 2, 3))]
    weights = [torch.nn.Parameter(part) for part in parts]
    with torch.autocast("cpu", torch.bfloat16):
        a, _, c = normed_products(x, weights, ((2, 2), (2,), (3,)))
    kept = c.detach().clone()
    a.mul_(2).square_()
    assert torch.equal(c, kept)
    got = torch.autograd.grad(a.float().sum() + c.float().sum(), (x, weights[0], weights[2]))
    exact = [t.detach().double().requires_grad_() for t in (x, weights[0], weights[2])]
    h = rms_norm(exact[0])
    loss = (2 * F.linear(h, exact[1])).square().sum() + F.linear(h, exact[2]).sum()
    wanted = torch.autograd.grad(loss, exact)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().max() <= 0.03 * other.abs().max()


def test_matrices_beside_each_other_in_memory_are_one() -> None:
    memory = random(9, 4)
    whole = neighbours(memory.split((4, 2, 3)))
    assert whole is not None
    assert torch.equal(whole, memory)
    assert neighbours([memory[:4], memory[5:]]) is None
    assert neighbours([memory[4:], memory[:4]]) is None
    assert neighbours([memory[:4], memory[4:].clone()]) is None
    assert neighbours([memory.t()[:2], memory.t()[2:]]) is None
