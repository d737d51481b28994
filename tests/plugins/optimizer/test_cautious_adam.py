import pytest
import torch

from tests.plugins.optimizer.slow import directions, random, rule_of


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_five_steps_equal_the_definition(build, strength):
    gradients = [random(2, 3, 4, seed=seed) for seed in range(5)]
    got, _ = directions(rule_of(build, (3, 4), cautious_adam={"strength": strength}), gradients)
    plain, _ = directions(rule_of(build, (3, 4)), gradients)
    masked = 0
    for g, update, raw in zip(gradients, got, plain, strict=True):
        for n in range(2):
            places = [(i, j) for i in range(3) for j in range(4)]
            agree = {where: float(raw[n][where] * g[n][where]) > 0 for where in places}
            share = max(sum(agree.values()) / 12, 1e-3)
            for where in places:
                u = float(raw[n][where])
                wanted = u + strength * ((u / share if agree[where] else 0.0) - u)
                assert float(update[n][where]) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
            masked += 12 - sum(agree.values())
    assert masked > 10


def test_where_all_agree_nothing_changes_and_where_none_does_nothing_moves(build):
    rule = rule_of(build, (3, 4), cautious_adam={})
    g = random(1, 3, 4)
    (first, second), _ = directions(rule, [g, -0.1 * g])
    torch.testing.assert_close(first, g.sign(), rtol=1e-6, atol=1e-6)
    assert not second.any()


def test_it_masks_the_roles_that_are_named(build):
    run = build(muon={}, cautious_adam={"roles": ["embedding"]})
    for stack in run.optimizer.stacks:
        assert (type(stack.rule).__name__ == "Masked") == (stack.group.role == "embedding")
