import torch

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
