import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock

LR, WD, BETA, BETA2, EPS = 0.01, 0.1, 0.8, 0.9, 1e-8


class SlowPoints:
    """Schedule-free AdamW of one number, in plain Python floats, as the paper writes it."""

    def __init__(self, start):
        self.z = self.x = start
        self.v, self.t, self.weights = 0.0, 0, 0.0

    @property
    def y(self):
        return (1 - BETA) * self.z + BETA * self.x

    def step(self, g, factor):
        self.t += 1
        y, lr = self.y, LR * factor
        self.v = BETA2 * self.v + (1 - BETA2) * g * g
        u = g / (math.sqrt(self.v / (1 - BETA2**self.t)) + EPS)
        self.z = self.z - lr * u - lr * WD * y
        self.weights += factor**2
        c = factor**2 / self.weights if self.weights else 0.0
        self.x = (1 - c) * self.x + c * self.z


def gradients(run, step):
    generator = torch.Generator().manual_seed(step)
    for param in run.assembly.params.values():
        param.grad.copy_(torch.randn(param.shape, generator=generator))


@pytest.mark.parametrize("warmup", [0, 4])
def test_every_number_follows_the_definition(build, warmup):
    schedule = {"wsd": {"warmup": warmup, "cooldown": 0}} if warmup else {}
    optim = {"lr": LR, "weight_decay": WD, "grad_clip": 0, "eps": EPS}
    run = build(schedule_free={"beta": BETA, "beta2": BETA2}, config={"optim": optim}, **schedule)
    path = "blocks.1.mlp.up.weight"
    param = run.assembly.params[path]
    places = [(0, 0), (3, 7), (100, 31)]
    slow = [SlowPoints(float(param[i, j])) for i, j in places]
    for step in range(8):
        clock = Clock(step, 8)
        run.dials.set(clock)
        gradients(run, step)
        wanted = [float(param.grad[i, j]) for i, j in places]
        factor = run.dials.lr_factor
        assert factor == pytest.approx(min(1, (step + 1) / warmup if warmup else 1), abs=0.26)
        run.optimizer.step(factor, run.dials.values)
        run.companions[0].after_update(clock)
        for one, g, (i, j) in zip(slow, wanted, places, strict=True):
            one.step(g, factor)
            assert float(param[i, j]) == pytest.approx(one.y, abs=1e-6)
    with run.companions[0].evaluating():
        for one, (i, j) in zip(slow, places, strict=True):
            assert float(param[i, j]) == pytest.approx(one.x, abs=1e-6)
    for one, (i, j) in zip(slow, places, strict=True):
        assert float(param[i, j]) == pytest.approx(one.y, abs=1e-6)


def test_a_learning_rate_of_zero_leaves_everything_where_it_is(build):
    run = build(schedule_free={}, wsd={})
    before = {path: param.detach().clone() for path, param in run.assembly.params.items()}
    run.dials.values["lr"].fill_(0.0)
    gradients(run, 0)
    run.optimizer.step(0.0, run.dials.values)
    run.companions[0].after_update(Clock(0, 8))
    for path, param in run.assembly.params.items():
        assert torch.allclose(param, before[path], atol=1e-7)


def test_the_first_moment_of_adamw_is_off(build):
    run = build(schedule_free={"beta2": 0.7})
    assert {(stack.rule.beta1, stack.rule.beta2) for stack in run.optimizer.stacks} == {(0.0, 0.7)}


@pytest.mark.parametrize("other", ["ema", "ngpt"])
def test_another_average_is_refused(build, other):
    with pytest.raises(PluginError, match=f"'{other}'"):
        build(schedule_free={}, **{other: {}})
