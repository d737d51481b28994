import math

import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowZ(SlowGPT):
    def loss(self, tokens, targets):
        logits = self.logits(tokens)
        squares = [math.log(sum(math.exp(float(z)) for z in row)) ** 2 for row in logits.detach().flatten(0, 1)]
        self.penalty = sum(squares) / len(squares)
        differentiable = torch.log(torch.exp(logits).sum(-1)).square().mean()
        return super().loss(tokens, targets) + 0.01 * differentiable


def test_loss_and_gradients_equal_the_definition(build):
    assert_equals_slow_model(build(z_loss={"weight": 0.01}), SlowZ)


def test_the_term_is_logged_and_evaluation_does_not_know_it(build, batch):
    run, plain = build(z_loss={"weight": 0.01}), build()
    tokens, targets = batch()
    loss, logged = run.model(tokens, targets, run.dials.values)
    slow = SlowZ(run)
    slow.loss(tokens, targets)
    assert abs(float(logged["z_loss"]) - 0.01 * slow.penalty) < 1e-5
    assert torch.allclose(loss.detach(), logged["loss"] + logged["z_loss"])
    assert torch.equal(run.model.logits(tokens, {}), plain.model.logits(tokens, {}))
