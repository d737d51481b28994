import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import ParamGroup
from tests.plugins.optimizer.slow import at, length, random, rule_of

GROUP = ParamGroup("matrix", (6, 4), ("w",))


def inner(x, y):
    return sum(a * b for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))


def slow_step(w, u, lr, brake, wd=0.0):
    """One matrix by the definition; also the braked update."""
    k = inner(u, w) / max(inner(w, w), 1e-12)
    if k < 0:
        u = u - (1 - brake) * k * w
    v = w - lr * u
    radius = max(length(w) - lr * inner(u, w) / length(w), 1e-8)
    placed = v * radius / length(v)
    return placed * (1 - lr * wd), u


@pytest.mark.parametrize("brake", [0.5, 0.0, 1.0])
def test_steps_out_and_in_by_the_definition(build, brake):
    hook = build(muon={}, radial_brake={"brake": brake}).assembly.hook
    rule, decay = hook.make_update(group=GROUP), hook.make_decay(group=GROUP)
    plain = rule_of(build, muon={})
    seen = set()
    for seed in range(6):
        w, g = random(1, 6, 4, seed=seed), random(1, 6, 4, seed=seed + 50)
        raw = plain.direction(w, g, plain.init(w), at(1))
        update = rule.direction(w, g, rule.init(w), at(1))
        lr, wd = (torch.full((1, 1, 1), value, dtype=torch.float64) for value in (0.1, 0.3))
        got = w - decay.amount(w, update, lr, wd, at(1)) - lr * update
        wanted, braked = slow_step(w[0], raw[0], 0.1, brake, 0.3)
        torch.testing.assert_close(update[0], braked, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(got[0], wanted, rtol=1e-10, atol=1e-10)
        across = raw[0] - inner(raw[0], w[0]) / inner(w[0], w[0]) * w[0]
        kept = update[0] - inner(update[0], w[0]) / inner(w[0], w[0]) * w[0]
        torch.testing.assert_close(across, kept, rtol=1e-9, atol=1e-10)
        seen.add(inner(raw, w) < 0)
    assert seen == {True, False}


def test_the_radius_counts_the_update_that_the_floor_made_longer(build, batch):
    run = build(muon={"lr": 0.05}, radial_brake={}, uw_floor={"tau": 5.0})
    before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)[0].backward()
    run.optimizer.step(1.0, run.dials.values)
    grown = 0
    for path, p in run.assembly.params.items():
        if run.assembly.infos[path].role == "matrix":
            change = length(p.detach().double()) / length(before[path]) - 1
            assert -0.26 <= change <= 0.26, path  # lr x tau, were the update all radial
            grown += abs(change) < 1e-3
    assert grown < len(before)


def test_masked_decay_comes_behind_the_radius(build):
    decay = build(muon={}, radial_brake={}, cautious_wd={}).assembly.hook.make_decay(group=GROUP)
    w, u = random(1, 6, 4), random(1, 6, 4, seed=1)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    got = w - decay.amount(w, u, 0.1 * one, 0.5 * one, at(1)) - 0.1 * u
    v = w - 0.1 * u
    placed = v * (length(w) - 0.1 * inner(u, w) / length(w)) / length(v)
    torch.testing.assert_close(got, placed * (1 - 0.05 * (u * placed >= 0).double()), rtol=1e-10, atol=1e-10)


def test_a_matrix_of_zeros_stays_finite_and_starts_to_move(build):
    hook = build(muon={}, radial_brake={}).assembly.hook
    rule, decay = hook.make_update(group=GROUP), hook.make_decay(group=GROUP)
    w, one = torch.zeros(1, 6, 4, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    state, g, sizes = rule.init(w), random(1, 6, 4), []
    for step in range(1, 4):
        update = rule.direction(w, g, state, at(step))
        w = w - decay.amount(w, update, 0.1 * one, 0 * one, at(step)) - 0.1 * update
        sizes.append(length(w))
    assert sizes[0] == pytest.approx(1e-8)
    assert sizes[2] > sizes[1] > 1e-3


def test_other_rules_of_the_norm_are_refused(build):
    with pytest.raises(PluginError, match="'hyperball' and 'radial_brake' conflict"):
        build(hyperball={}, radial_brake={})
