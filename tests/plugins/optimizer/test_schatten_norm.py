import math

import pytest
import torch

from tests.plugins.optimizer.slow import NS12, QUINTIC, along, directions, random, rule_of, schatten, slow_muon, svd_map


@pytest.mark.parametrize(("polar", "factors"), [("ns12", NS12), ("quintic", QUINTIC)])
@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_steps_equal_the_definition_through_the_svd(build, shape, polar, factors):
    gradients = [random(1, *shape, seed=seed) * 1e-3 for seed in range(3)]
    got, _ = directions(rule_of(build, shape, muon={"polar": polar}, schatten_norm={}), gradients)
    for u, update in zip(slow_muon([g[0] for g in gradients]), got, strict=True):
        wanted = svd_map(u / schatten(u), lambda value: along(factors, value))
        wanted = wanted * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], wanted, rtol=1e-5, atol=1e-5)


def test_small_gradients_do_not_vanish_in_fp32(build):
    g = random(1, 6, 4).float()
    (large,), _ = directions(rule_of(build, muon={}, schatten_norm={}), [g])
    (small,), _ = directions(rule_of(build, muon={}, schatten_norm={}), [g * 1e-12])
    torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-3)
    (none,), _ = directions(rule_of(build, muon={}, schatten_norm={}), [g * 0])
    assert not none.any()
