import torch

from coregpt.contract.config import OptimConfig
from coregpt.contract.rules import ParamGroup
from tests.plugins.optimizer.slow import directions, random, rule_of


def test_moments_are_taken_as_they_are(build):
    gradients = [random(2, 5, seed=seed) for seed in range(6)]
    rule = rule_of(build, (5,), members=2, role="scalar", no_bias_correction={})
    got, _ = directions(rule, gradients)
    m = v = torch.zeros(2, 5, dtype=torch.float64)
    for g, found in zip(gradients, got, strict=True):
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        torch.testing.assert_close(found, m / (v.sqrt() + 1e-8), rtol=1e-12, atol=1e-12)


def test_the_first_step_is_as_long_as_the_betas_make_it(build):
    g = random(1, 7)
    (found,), _ = directions(rule_of(build, (7,), role="scalar", no_bias_correction={}), [g])
    torch.testing.assert_close(found, g.sign() * 0.1 / 0.05**0.5, rtol=1e-6, atol=0)


def test_other_roles_are_corrected_as_ever(build):
    gradients = [random(1, 3, 4, seed=seed) for seed in range(3)]
    for options, role in (({}, "embedding"), ({"roles": ["embedding"]}, "head")):
        got, _ = directions(rule_of(build, (3, 4), role=role, no_bias_correction=options), gradients)
        plain, _ = directions(rule_of(build, (3, 4), role=role), gradients)
        assert all(torch.equal(one, other) for one, other in zip(got, plain, strict=True))


def test_a_rule_around_it_still_counts_its_steps(build):
    """Every other step: the first of a pair waits, whatever becomes of the corrections."""
    rule = rule_of(build, (3,), role="scalar", no_bias_correction={}, adam_every_other_step={})
    gradients = [random(1, 3, seed=seed) for seed in range(4)]
    got, _ = directions(rule, gradients)
    plain, _ = directions(
        rule_of(build, (3,), role="scalar", no_bias_correction={}),
        [gradients[0] + gradients[1], gradients[2] + gradients[3]],
    )
    assert not got[0].any()
    assert not got[2].any()
    torch.testing.assert_close(torch.stack((got[1], got[3])), torch.stack(plain), rtol=1e-12, atol=0)


def test_rules_that_warm_up_are_none_of_its_business(build):
    gradients = [random(1, 3, 4, seed=seed) for seed in range(3)]
    for other in ("soap", "shampoo"):
        got, _ = directions(rule_of(build, (3, 4), no_bias_correction={"roles": ["matrix"]}, **{other: {}}), gradients)
        plain, _ = directions(rule_of(build, (3, 4), **{other: {}}), gradients)
        assert all(torch.equal(one, other) for one, other in zip(got, plain, strict=True))


def test_outside_corrects_the_quotient(build):
    """As the definition has it, and as Adam with an epsilon that shrinks to its own."""
    gradients = [random(1, 3, 4, seed=seed) * 1e-7 for seed in range(5)]
    options = {"roles": ["embedding"], "form": "outside"}
    got, _ = directions(rule_of(build, (3, 4), role="embedding", no_bias_correction=options), gradients)
    m = v = torch.zeros(1, 3, 4, dtype=torch.float64)
    for t, (g, found) in enumerate(zip(gradients, got, strict=True), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        bias1, bias2 = 1 - 0.9**t, 1 - 0.95**t
        torch.testing.assert_close(found, bias2**0.5 / bias1 * m / (v.sqrt() + 1e-8), rtol=1e-9, atol=0)
        adam = (m / bias1) / ((v / bias2).sqrt() + 1e-8 / bias2**0.5)
        torch.testing.assert_close(found, adam, rtol=1e-9, atol=0)


def test_without_an_epsilon_outside_is_adam_to_rounding(build):
    gradients = [random(2, 5, seed=seed) for seed in range(4)]
    config = {"optim": OptimConfig(eps=1e-30)}
    rules = [
        build(config=config, **plugins).assembly.hook.make_update(group=ParamGroup("scalar", (5,), ("a", "b")))
        for plugins in ({}, {"no_bias_correction": {"form": "outside"}})
    ]
    plain, got = (directions(rule, gradients)[0] for rule in rules)
    for one, other in zip(plain, got, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
