import math

import pytest
import torch

from tests.plugins.optimizer.slow import directions, random, rule_of, slow_muon, slow_polar


@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_steps_equal_the_definition(build, shape):
    gradients = [random(1, *shape, seed=seed) for seed in range(4)]
    got, _ = directions(rule_of(build, shape, muon={"polar": "ns12"}, muon_squared={"beta2": 0.8}), gradients)
    v = [[0.0] * shape[1] for _ in range(shape[0])]
    for u, g, update in zip(slow_muon([g[0] for g in gradients]), gradients, got, strict=True):
        divided = torch.zeros_like(u)
        for i in range(shape[0]):
            for j in range(shape[1]):
                v[i][j] = 0.8 * v[i][j] + 0.2 * float(g[0, i, j]) ** 2
                divided[i, j] = u[i, j] / (math.sqrt(v[i][j]) + 1e-10)
        wanted = slow_polar(divided) * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], wanted, rtol=1e-8, atol=1e-8)


def test_gradients_of_one_size_make_muon_s_step(build):
    g = random(1, 6, 4).sign() * 0.3
    one, _ = directions(rule_of(build, muon={"polar": "ns12"}, muon_squared={}), [g, g])
    other, _ = directions(rule_of(build, muon={"polar": "ns12"}), [g, g])
    for mine, plain in zip(one, other, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-6)
