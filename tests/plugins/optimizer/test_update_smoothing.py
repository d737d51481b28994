import pytest
import torch

from tests.plugins.optimizer.slow import directions, random, rule_of, slow_muon, slow_polar

DIAL = "update_smoothing.beta"


@pytest.mark.parametrize("along", ["blend", "average"])
def test_steps_equal_the_definition(build, along):
    gradients = [random(1, 4, 4, seed=seed) for seed in range(4)]
    betas = [0.5, 0.4, 0.3, 0.2]
    rule = rule_of(build, (4, 4), muon={"polar": "ns12"}, update_smoothing={"step_along": along})
    got, _ = directions(rule, gradients, **{DIAL: betas})
    s = torch.zeros(4, 4, dtype=torch.float64)
    for u, beta, update in zip(slow_muon([g[0] for g in gradients]), betas, got, strict=True):
        newest = slow_polar(u)
        s = beta * s + (1 - beta) * newest
        wanted = beta * s + (1 - beta) * newest if along == "blend" else s
        torch.testing.assert_close(update[0], wanted, rtol=1e-8, atol=1e-8)


def test_beta_goes_from_first_to_last(build):
    run = build(muon={}, update_smoothing={"first": 0.6, "last": 0.2, "until": 0.5}, config={"tokens": 8 * 96})
    seen = []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen == pytest.approx([0.6, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2])


def test_normuon_sees_the_smoothed_update(build):
    rule = rule_of(build, muon={}, normuon={}, update_smoothing={})
    (first, second), state = directions(rule, [random(1, 6, 4)] * 2, **{DIAL: [0.5, 0.5]})
    assert "update_smoothing_s" in state
    assert first.norm().item() == pytest.approx(0.75 / 0.875 * second.norm().item() * 1.0, rel=0.2)
