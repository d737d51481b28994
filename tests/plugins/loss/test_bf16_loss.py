import pytest
import torch
import torch.nn.functional as F

from tests.plugins.slow import SlowGPT


class SlowRounded(SlowGPT):
    """Rounds logits to eight bits of mantissa by hand; the gradient passes."""

    def finish(self, logits):
        exponent = torch.floor(torch.log2(logits.detach().abs()))
        step = 2.0 ** (exponent - 7)
        rounded = torch.round(logits.detach() / step) * step
        return logits + (rounded - logits.detach())


def test_the_loss_is_that_of_rounded_logits(build, batch):
    run, (tokens, targets) = build(bf16_loss={}, shape={"init_std": 0.5}), batch(2, 7)
    loss = float(run.model(tokens, targets, run.dials.values)[0].detach())
    rounded, exact = (float(slow(run).loss(tokens, targets).detach()) for slow in (SlowRounded, SlowGPT))
    assert abs(loss - rounded) < 0.1 * abs(exact - rounded)
    assert abs(loss - exact) < 0.01


def test_gradients_are_rounded_and_evaluation_is_not(build, batch):
    run, plain = build(bf16_loss={}), build()
    tokens, targets = batch()
    logits = torch.randn(4, 24, 61, generator=torch.Generator().manual_seed(0)).requires_grad_()
    run.model.loss(logits, targets, None).backward()
    assert torch.equal(logits.grad, logits.grad.bfloat16().float())
    exact = logits.detach().bfloat16().float().requires_grad_()
    F.cross_entropy(exact.flatten(0, 1), targets.flatten()).backward()
    torch.testing.assert_close(logits.grad, exact.grad, rtol=2**-8, atol=1e-9)
    with torch.no_grad():
        assert torch.equal(*(each.model.logits(tokens, each.dials.values) for each in (run, plain)))


@pytest.mark.parametrize("inner", [{"mtp": {}}, {"z_loss": {}}])
def test_it_goes_around_other_losses(build, batch, inner):
    run, (tokens, targets) = build(bf16_loss={}, **inner), batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    assert torch.isfinite(loss)
