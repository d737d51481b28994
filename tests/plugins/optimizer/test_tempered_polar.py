import math

import pytest
import torch

from tests.plugins.optimizer.slow import directions, random, rule_of, schatten, slow_muon, slow_polar

DIAL = "tempered_polar.rho"


@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_steps_equal_the_definition(build, shape):
    gradients = [random(1, *shape, seed=seed) for seed in range(3)]
    rhos = [0.0, 0.4, 1.0]
    got, _ = directions(rule_of(build, shape, muon={"polar": "ns12"}, tempered_polar={}), gradients, **{DIAL: rhos})
    for u, rho, update in zip(slow_muon([g[0] for g in gradients]), rhos, got, strict=True):
        plain = slow_polar(u)
        rest = u / schatten(u) - plain
        rest = rest * min(1.0, 0.25 * schatten(plain) / schatten(rest))
        moved = plain + rho * rest
        wanted = moved * schatten(plain) / schatten(moved) * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], wanted, rtol=1e-8, atol=1e-8)


def test_rho_rises_late(build):
    run = build(muon={}, tempered_polar={"rho": 0.2, "start": 0.5, "end": 0.75}, config={"tokens": 8 * 96})
    seen = []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen == pytest.approx([0, 0, 0, 0, 0, 0.1, 0.2, 0.2])
