"""Normalisation and cross-entropy with backward passes of their own, against their definitions in float64."""

import math

import pytest
import torch
from torch import Tensor

from coregpt.engine.arithmetic.fused import cross_entropy, rms_norm, unit_norm, without_autocast, working_dtype


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_rms_norm_is_its_definition_row_by_row() -> None:
    x = random(2, 3, 5)
    got, eps = rms_norm(x), torch.finfo(torch.float64).eps
    for row, wanted in zip(got.view(-1, 5).tolist(), x.view(-1, 5).tolist(), strict=True):
        size = math.sqrt(sum(v * v for v in wanted) / 5 + eps)
        assert row == pytest.approx([v / size for v in wanted], rel=1e-14)


def test_rms_norm_has_the_gradient_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(rms_norm, (random(3, 7).requires_grad_(),))


def test_rms_norm_of_nothing_is_nothing_and_its_gradient_is_finite() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    y = rms_norm(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(2, 4))
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_rms_norm_is_rounded_once_under_autocast() -> None:
    x = random(4, 8, dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = rms_norm(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, rms_norm(x).bfloat16())
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_rms_norm_of_fp16_holds_squares_that_fp16_does_not() -> None:
    x = (500 * random(4, 8)).half().requires_grad_()
    exact = x.detach().double().requires_grad_()
    up = random(4, 8, seed=1)
    got, wanted = rms_norm(x), rms_norm(exact)
    got.backward(up.half())
    wanted.backward(up)
    assert got.dtype == torch.float16
    assert (got - wanted).abs().max() < 2e-3
    assert x.grad is not None
    assert exact.grad is not None
    assert (x.grad - exact.grad).abs().max() < 2e-3 * exact.grad.abs().max()


@pytest.mark.parametrize("dim", [-1, -2])
def test_unit_norm_is_its_definition_with_the_gradient_of_finite_differences(dim: int) -> None:
    x = random(3, 4, 5).requires_grad_()
    wanted = x.transpose(dim, -1)
    wanted = torch.stack(
        [row / math.sqrt(sum(v * v for v in row.tolist())) for row in wanted.reshape(-1, wanted.shape[-1])]
    )
    assert (unit_norm(x, dim).transpose(dim, -1).reshape(wanted.shape) - wanted).abs().max() < 1e-14
    assert torch.autograd.gradcheck(lambda z: unit_norm(z, dim), (x,))


def test_unit_norm_divides_what_is_too_short_by_a_constant() -> None:
    x = torch.tensor([[3e-13, 4e-13], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    y = unit_norm(x)
    y.backward(torch.ones_like(y))
    assert torch.allclose(y, x * 1e12, rtol=1e-12, atol=0)
    assert x.grad is not None
    assert torch.allclose(x.grad, torch.full_like(x, 1e12), rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 300.0])
def test_cross_entropy_is_its_definition(scale: float) -> None:
    logits, targets = scale * random(6, 11), torch.tensor([0, 10, 3, 3, 7, 1])
    wanted = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        top = max(row)
        wanted += top + math.log(sum(math.exp(v - top) for v in row)) - row[target]
    assert float(cross_entropy(logits, targets)) == pytest.approx(wanted / 6, rel=1e-13)


def test_cross_entropy_has_the_gradient_of_finite_differences() -> None:
    targets = torch.tensor([4, 0, 2])
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, targets), (random(3, 5).requires_grad_(),))


def test_a_target_that_is_all_but_impossible_costs_its_logit_and_not_infinity() -> None:
    logits = torch.tensor([[0.0, -1e4]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 1e4
    assert logits.grad is not None
    assert logits.grad.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_not_hidden(bad: float) -> None:
    assert not cross_entropy(torch.tensor([[bad, 0.0]]), torch.tensor([1])).isfinite()
    assert not rms_norm(torch.tensor([[bad, 1.0]])).isfinite().all()


def test_no_pass_asks_which_devices_know_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch 2.11's compiler cannot trace that question: every compiled model there fell back to the plain one."""

    def asked(kind: str) -> bool:
        raise AssertionError(f"asked for {kind}")

    monkeypatch.setattr(torch.amp, "is_autocast_available", asked)
    assert working_dtype(random(2)) == torch.float64
    with torch.autocast("cpu", torch.bfloat16), without_autocast(random(2)):
        assert working_dtype(random(2)) == torch.float64
    assert working_dtype(torch.empty(2, device="meta")) == torch.float32
