import math

import pytest
import torch

from tests.plugins.optimizer.slow import directions, length, random, rule_of


@pytest.mark.parametrize("scale", [0.01, 3.0])
def test_five_steps_equal_the_definition(build, scale):
    gradients = [random(2, 3, 4, seed=seed) * scale for seed in range(5)]
    options = {"beta1": 0.9, "beta2": 0.8, "gamma": 0.2, "eps": 1e-4}
    got, _ = directions(rule_of(build, (3, 4), 2, mars=options), gradients)
    clipped = 0
    for member in range(2):
        m = v = torch.zeros(3, 4, dtype=torch.float64)
        last = gradients[0][member]
        for t, g in enumerate((each[member] for each in gradients), start=1):
            c = g + 0.2 * 0.9 / (1 - 0.9) * (g - last)
            clipped += length(c) > 1
            c, last = c / max(1.0, length(c)), g
            m, v = 0.9 * m + 0.1 * c, 0.8 * v + 0.2 * c**2
            wanted = m / (1 - 0.9**t) / ((v / (1 - 0.8**t)).sqrt() + 1e-4)
            torch.testing.assert_close(got[t - 1][member], wanted, rtol=1e-9, atol=1e-10)
    assert clipped == (10 if scale > 1 else 0)


def test_a_steady_gradient_is_adam_s(build):
    g = random(1, 3, 4) * 0.01
    got, _ = directions(rule_of(build, (3, 4), mars={}), [g] * 3)
    assert all(math.isclose(float(u.abs().mean()), 1.0, rel_tol=1e-4) for u in got)


def test_scalars_stay_with_adam(build):
    run = build(mars={}, rmsnorm_gain={})
    kinds = {stack.group.role: type(stack.rule).__name__ for stack in run.optimizer.stacks}
    assert kinds["scalar"] == "AdamW"
    assert {kinds[role] for role in ("matrix", "embedding", "head")} == {"Corrected"}
