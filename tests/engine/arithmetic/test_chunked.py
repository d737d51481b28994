"""The loss that keeps no logits: against float64 autograd through all of them, in every precision and in one graph."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coregpt.contract.context import Context
from coregpt.engine.arithmetic import chunked
from coregpt.engine.arithmetic.chunked import next_token_loss

N, DIM, VOCAB = 13, 8, 31
CHUNK = 4 * VOCAB
"""Chunks of 4, 4, 4 and 1 rows."""
CTX = Context(torch.zeros(1, N, dtype=torch.long), {})
CAPS = {
    "tanh": {"cap": 2.0},
    "isru": {"shape": "isru", "cap": 1.5},
    "sigmoid": {"shape": "sigmoid", "cap": 5.0, "width": 1.2, "shift": 0.7},
}


def given(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, DIM, generator=generator, dtype=torch.float64) for n in (N, VOCAB))
    targets = torch.randint(0, VOCAB, (N,), generator=generator)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets


def transforms(build, names: list[str]) -> list:
    return [t for name in names for t in build(softcap=CAPS[name]).model.transforms]


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, bends: list) -> Tensor:
    logits = hidden @ weight.T
    for bend in bends:
        logits = bend(logits, CTX)
    return F.cross_entropy(logits, targets)


@pytest.mark.parametrize("names", [[], ["tanh"], ["isru"], ["sigmoid"], ["tanh", "isru"]], ids="+".join)
def test_loss_and_gradients_are_those_of_all_logits(build, names: list[str]) -> None:
    hidden, weight, targets = given()
    bends = transforms(build, names)
    wanted, got = plain(hidden, weight, targets, bends), next_token_loss(hidden, weight, targets, bends, CTX, CHUNK)
    assert float(got.detach()) == pytest.approx(float(wanted.detach()), rel=1e-13)
    for mine, theirs in zip(*(torch.autograd.grad(3 * y, (hidden, weight)) for y in (got, wanted)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CAPS)
def test_a_slope_is_the_derivative(build, name: str) -> None:
    (bend,) = transforms(build, [name])
    z = torch.linspace(-9, 9, 41, dtype=torch.float64, requires_grad=True)
    bent = bend(z, CTX)
    (wanted,) = torch.autograd.grad(bent.sum(), z)
    torch.testing.assert_close(bend.slope(z, bent), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_is_near_float64(dtype: torch.dtype) -> None:
    exact = given()
    wanted = plain(*exact, [])
    hidden, weight, targets = given(torch.float32)
    with torch.autocast("cpu", dtype):
        got = next_token_loss(hidden, weight, targets, [], CTX, CHUNK)
    assert got.dtype == torch.float32
    assert float(got.detach()) == pytest.approx(float(wanted.detach()), rel=0.02)
    for mine, theirs in zip(
        torch.autograd.grad(got, (hidden, weight)), torch.autograd.grad(wanted, exact[:2]), strict=True
    ):
        assert mine.dtype == torch.float32
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02


def test_a_small_share_does_not_vanish_in_fp16() -> None:
    """Divided by the number of tokens first, the gradient of a sure token would be below what fp16 holds."""
    hidden, weight, targets = given(torch.float32)
    many = (hidden.detach().repeat(5000, 1).requires_grad_(), weight, targets.repeat(5000))
    with torch.autocast("cpu", torch.float16):
        (got,) = torch.autograd.grad(next_token_loss(*many, [], CTX, 4096 * VOCAB), many[0])
    (wanted,) = torch.autograd.grad(plain(*many, []), many[0])
    assert float((got - wanted).norm() / wanted.norm()) < 0.01


def test_without_gradients_only_the_loss_is_made() -> None:
    hidden, weight, targets = given()
    with torch.no_grad():
        loss = next_token_loss(hidden, weight, targets, [], CTX, CHUNK)
    assert not loss.requires_grad
    assert float(loss) == pytest.approx(float(plain(hidden, weight, targets, []).detach()), rel=1e-13)


def test_a_number_that_is_none_is_told() -> None:
    hidden, weight, targets = given()
    with torch.no_grad():
        hidden[5, 2] = torch.nan
    assert not next_token_loss(hidden, weight, targets, [], CTX, CHUNK).isfinite()


def losses(run, batch) -> tuple[Tensor, dict[str, Tensor]]:
    tokens, targets = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    return loss.detach(), {path: param.grad.clone() for path, param in run.assembly.params.items()}


@pytest.mark.parametrize("shape", [{}, {"tied": True}], ids=["own head", "tied"])
def test_a_model_with_many_logits_trains_the_same(build, batch, monkeypatch, shape) -> None:
    made = {"softcap": {"cap": 3}, "shape": {"init_std": 0.3, **shape}}
    wanted, theirs = losses(build(**made), batch)
    monkeypatch.setattr(chunked, "KEPT", 100)
    monkeypatch.setattr(chunked.next_token_loss, "__defaults__", (61 * 10,))
    run = build(**made)
    run.model.logits_of = None  # never asked for all of them
    got, mine = losses(run, batch)
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=0)
    for path, gradient in theirs.items():
        torch.testing.assert_close(mine[path], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()), msg=path)


@pytest.mark.parametrize(
    "plugins", [{"z_loss": {}}, {"mtp": {}}, {"ngpt": {}}], ids=["loss on logits", "loss of its own", "own parameters"]
)
def test_whoever_wants_logits_gets_them(build, batch, monkeypatch, plugins) -> None:
    monkeypatch.setattr(chunked, "KEPT", 100)
    run = build(**plugins)
    assert run.model.bends is None
    losses(run, batch)


def test_it_is_one_graph(build, batch, monkeypatch) -> None:
    from coregpt.lab.laws.tools import counting_backend

    monkeypatch.setattr(chunked, "KEPT", 100)
    monkeypatch.setattr(chunked.next_token_loss, "__defaults__", (61 * 40,))
    run, tokens = build(shape={"depth": 1}, softcap={}), batch()
    wanted, theirs = losses(run, batch)
    for stack in run.optimizer.stacks:
        stack.grad.zero_()
    compiled, graphs = counting_backend(run.model)
    loss, _ = compiled(*tokens, run.dials.values)
    loss.backward()
    assert len(graphs) == 1
    torch.testing.assert_close(loss.detach(), wanted)
    for path, param in run.assembly.params.items():
        torch.testing.assert_close(param.grad, theirs[path], msg=path)
