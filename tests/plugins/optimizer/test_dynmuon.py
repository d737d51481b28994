import math

import pytest
import torch

from tests.plugins.optimizer.slow import at, directions, length, random, rule_of, slow_muon, slow_polar

DIAL = "dynmuon.power"


@pytest.mark.parametrize("shape", [(6, 4), (3, 5), (4, 4)])
def test_steps_equal_the_definition(build, shape):
    gradients = [random(1, *shape, seed=seed) * 0.1 for seed in range(4)]
    powers = [0.2, 0.0, -0.1, -0.25]
    got, _ = directions(rule_of(build, shape, muon={"polar": "ns12"}, dynmuon={}), gradients, **{DIAL: powers})
    heavy = torch.zeros(shape, dtype=torch.float64)
    for g, p, update in zip(gradients, powers, got, strict=True):
        heavy = 0.95 * heavy + g[0]  # heavy ball, Nesterov
        h = g[0] + 0.95 * heavy
        size = length(h) + 1e-7
        x = h / size
        x = x.T if shape[0] > shape[1] else x
        identity = torch.eye(len(x), dtype=torch.float64)
        e, d = x @ x.T - identity, p / 2
        bent = (identity + d * e + d * (d - 1) / 2 * e @ e) @ slow_polar(x)
        bent = (bent.T if shape[0] > shape[1] else bent) * size**p * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], bent, rtol=1e-6, atol=1e-6)


def test_power_zero_is_muon(build):
    gradients = [random(1, 6, 4, seed=seed) for seed in range(2)]
    got, _ = directions(rule_of(build, muon={"polar": "ns12"}, dynmuon={}), gradients, **{DIAL: [0, 0]})
    for u, update in zip(slow_muon([g[0] for g in gradients]), got, strict=True):
        torch.testing.assert_close(update[0], slow_polar(u) * math.sqrt(1.5), rtol=1e-6, atol=1e-6)


def test_a_diagonal_matrix_has_the_scalar_expansion(build):
    s = torch.tensor([0.9, 0.4, 0.1], dtype=torch.float64)
    g = torch.diag(s).unsqueeze(0)
    rule = rule_of(build, (3, 3), muon={"polar": "ns12", "momentum": 0}, dynmuon={})
    got = rule.direction(g, g, rule.init(g), at(1, **{DIAL: torch.tensor(-0.2)}))[0]
    size = length(s)
    for i, value in enumerate(s.tolist()):
        x2 = (value / size) ** 2 - 1
        wanted = (1 - 0.1 * x2 + 0.5 * 0.1 * 1.1 * x2**2) * size**-0.2
        assert float(got[i, i]) == pytest.approx(wanted, rel=1e-4)


def test_the_power_turns_early(build):
    run = build(muon={}, dynmuon={}, config={"tokens": 100 * 96})
    seen = []
    for step in range(100):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen[0] == pytest.approx(0.1155, abs=1e-4)
    assert seen[4] == pytest.approx(0, abs=1e-7)
    assert seen[40] == pytest.approx(-0.25, abs=1e-4)
    for step in (1, 10, 70):
        assert seen[step] == pytest.approx(-0.25 + 0.5 / (1 + math.exp((step / 100 - 0.04) / 0.04)), abs=1e-6)
