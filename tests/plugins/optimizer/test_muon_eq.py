import math

import pytest
import torch

from tests.plugins.optimizer.slow import directions, length, random, rule_of, slow_muon, slow_polar


@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_steps_equal_the_definition(build, shape):
    gradients = [random(1, *shape, seed=seed) * torch.linspace(0.01, 5, shape[0])[:, None] for seed in range(3)]
    got, _ = directions(rule_of(build, shape, muon={"polar": "ns12"}, muon_eq={}), gradients)
    for u, update in zip(slow_muon([g[0] for g in gradients]), got, strict=True):
        rows = torch.stack([row / length(row) for row in u])
        wanted = slow_polar(rows) * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], wanted, rtol=1e-8, atol=1e-8)


def test_a_row_of_zeros_stays(build):
    g = random(1, 6, 4)
    g[0, 2] = 0
    (update,), _ = directions(rule_of(build, muon={}, muon_eq={}), [g])
    assert not update[0, 2].any()
    assert update[0, 3].any()
