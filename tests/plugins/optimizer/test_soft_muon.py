import math

import pytest
import torch

from tests.plugins.optimizer.slow import (
    NS12,
    along,
    directions,
    length,
    random,
    rule_of,
    schatten,
    slow_muon,
    slow_polar,
    svd_map,
)

DIAL = "soft_muon.weight"
SHARES = [
    *(0.1091613623, 0.07085664498, 0.05210528973, 0.05457295795, 0.05011334061, 0.03334622198),
    *(0.05022104481, 0.1053727358, 0.1187323776, 0.1185061091, 0.1185059576, 0.1185059576),
]


def softened(x):
    return sum(share * along(NS12[:i], x) for i, share in enumerate(SHARES))


def test_the_polynomial_is_about_a_tenth_power():
    assert sum(SHARES) == pytest.approx(1)
    for x in (0.01, 0.03, 0.1, 0.3, 1.0):
        assert softened(x) == pytest.approx(x**0.1, rel=0.01)
    assert softened(0.003) / 0.003**0.1 == pytest.approx(0.87, abs=0.01)
    assert softened(0.001) / 0.001**0.1 == pytest.approx(0.64, abs=0.01)


@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_steps_equal_the_definition(build, shape):
    gradients = [random(1, *shape, seed=seed) for seed in range(3)]
    weights = [0.0, 0.3, 0.8]
    got, _ = directions(rule_of(build, shape, muon={"polar": "ns12"}, soft_muon={}), gradients, **{DIAL: weights})
    for u, w, update in zip(slow_muon([g[0] for g in gradients]), weights, got, strict=True):
        plain = slow_polar(u)
        soft = svd_map(u / (length(u) + 1e-7), softened)
        wanted = (1 - w) * plain + w * soft * schatten(plain) / schatten(soft)
        wanted = wanted * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], wanted, rtol=1e-8, atol=1e-8)


def test_the_weight_rises_to_its_cap(build):
    run = build(muon={}, soft_muon={"start": 2, "end": 6, "cap": 0.6}, config={"tokens": 8 * 96})
    seen = []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen == pytest.approx([0, 0, 0, 0.25, 0.5, 0.6, 0.6, 0.6])
