import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.optimizer.slow import directions, random, rule_of


def test_five_steps_number_by_number(build):
    gradients = [random(1, 3, 4, seed=seed) for seed in range(5)]
    alphas, betas = [1.0, 2.0, 3.0, 4.0, 4.0], [0.9, 0.93, 0.96, 0.99, 0.99]
    dials = {"ademamix.alpha": alphas, "ademamix.beta3": betas}
    got, _ = directions(rule_of(build, (3, 4), ademamix={"beta1": 0.8, "beta2": 0.9, "eps": 1e-3}), gradients, **dials)
    for i in range(3):
        for j in range(4):
            fast = slow = v = 0.0
            for t, (g, alpha, beta3) in enumerate(zip(gradients, alphas, betas, strict=True), start=1):
                x = float(g[0, i, j])
                fast, slow, v = 0.8 * fast + 0.2 * x, beta3 * slow + (1 - beta3) * x, 0.9 * v + 0.1 * x * x
                wanted = (fast / (1 - 0.8**t) + alpha * slow) / (math.sqrt(v / (1 - 0.9**t)) + 1e-3)
                assert float(got[t - 1][0, i, j]) == pytest.approx(wanted, rel=1e-9)


def test_ramps_of_alpha_and_of_the_half_life(build):
    """The half-life ln 2 / -ln beta3 grows linearly, from beta1's to beta3's."""
    run = build(ademamix={"alpha": 6, "beta3": 0.999, "ramp": 0.5}, config={"tokens": 10 * 96})
    alphas, lives = [], []
    for step in range(10):
        run.dials.set(run.timeline.clock(step))
        alphas.append(float(run.dials.values["ademamix.alpha"]))
        lives.append(-1 / math.log(float(run.dials.values["ademamix.beta3"])))
    assert alphas == pytest.approx([1.2, 2.4, 3.6, 4.8, 6, 6, 6, 6, 6, 6])
    first, last = -1 / math.log(0.9), -1 / math.log(0.999)
    wanted = [first + (last - first) * min(1, t / 5) for t in range(1, 11)]
    assert lives == pytest.approx(wanted, rel=1e-3)


def test_without_the_slow_memory_it_is_adam(build):
    gradients = [random(1, 3, 4, seed=seed) for seed in range(4)]
    dials = {"ademamix.alpha": [0.0] * 4, "ademamix.beta3": [0.9] * 4}
    got, _ = directions(rule_of(build, (3, 4), ademamix={"beta2": 0.95}), gradients, **dials)
    plain, _ = directions(rule_of(build, (3, 4)), gradients)
    for one, other in zip(got, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_roles_leave_the_rest_to_others(build):
    build(muon={}, ademamix={"roles": ["embedding", "head", "scalar"]})
    with pytest.raises(PluginError, match="claimed by 'ademamix' and 'muon'"):
        build(muon={}, ademamix={})
