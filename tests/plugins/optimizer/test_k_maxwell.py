import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.optimizer.slow import directions, random, rule_of, slow_polar

DIAL = "k_maxwell.age"


def rule(build, **options):
    return rule_of(build, (4, 4), muon={"polar": "ns12"}, k_maxwell=options)


def test_weights_are_the_published_ones(build):
    """Six averages at mean ages 50 and 22, eight at 58 and 26, and bi-Maxwell's two."""
    published = [
        ({}, 50, [0.0210039915, 0.0420079830, 0.0630119745, 0.0840159660, 0.1050199575, 0.6849401274]),
        ({}, 22, [0.0630119745, 0.1260239490, 0.1890359236, 0.2520478981, 0.3150598726, 0.0548203821]),
        ({"averages": 8, "age": 58, "last_age": 26}, 58, [0.005093975 * k for k in range(1, 8)] + [0.857368713]),
        ({"averages": 8, "age": 58, "last_age": 26}, 26, [0.032261839 * k for k in range(1, 8)] + [0.096668514]),
        ({"averages": 2, "youngest": 17 / 3, "oldest": 49, "age": 30, "last_age": 30}, 30, [0.4385, 0.5615]),
    ]
    for options, age, wanted in published:
        got = rule(build, **options).weights(torch.tensor(float(age), dtype=torch.float64))
        assert got.tolist() == pytest.approx(wanted, abs=5e-5 if len(wanted) == 2 else 1e-7)
    decays = [a / (1 + a) for a in rule(build).options.ages]
    assert decays == pytest.approx([0.75, 0.8469227056, 0.9107413503, 0.9495389484, 0.9719912250, 0.9846153846])


def test_steps_equal_the_definition(build):
    gradients = [random(1, 4, 4, seed=seed) for seed in range(6)]
    ages = [-5, -5, -5, 4.5, 4, 3.5]  # three steps of Muon, the last of which is copied
    options = {"averages": 3, "youngest": 1, "oldest": 9, "age": 5, "last_age": 3.5}
    got, _ = directions(rule(build, **options), gradients, **{DIAL: ages})
    lengths = [1.0, 3.0, 9.0]
    m, kept = torch.zeros(4, 4, dtype=torch.float64), [None] * 3
    for g, age, update in zip((each[0] for each in gradients), ages, got, strict=True):
        m = 0.95 * m + 0.05 * g
        if age < 0:
            kept, memory = [m] * 3, m
        else:
            kept = [a / (1 + a) * old + g / (1 + a) for a, old in zip(lengths, kept, strict=True)]
            others = (1 * 1 + 2 * 3) / 3
            last = (age - others) / (9 - others)
            weights = [(1 - last) / 3, (1 - last) * 2 / 3, last]
            assert sum(w * a for w, a in zip(weights, lengths, strict=True)) == pytest.approx(age)
            memory = sum(w * each for w, each in zip(weights, kept, strict=True))
        torch.testing.assert_close(update[0], slow_polar(0.05 * g + 0.95 * memory), rtol=1e-7, atol=1e-7)


def test_the_age_falls_from_the_switch_on(build):
    run = build(muon={}, k_maxwell={"start": 0.25}, config={"tokens": 8 * 96})
    seen = []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen[:3] == [-50] * 3
    assert seen[3:] == pytest.approx([50 - 28 * i / 6 for i in range(1, 6)])
    assert math.isclose(seen[-1], 50 - 28 * 5 / 6, rel_tol=1e-6)


def test_ages_that_no_weights_give_are_refused(build):
    with pytest.raises(ConfigError, match="last_age must lie between"):
        build(muon={}, k_maxwell={"last_age": 5})
