from fractions import Fraction

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock


def curve(build, steps, **options):
    run = build(muon={}, momentum_schedule=options, config={"tokens": 96 * steps, "batch_tokens": 96})
    return [run.dials.schedules["momentum"](Clock(step, steps)) for step in range(steps + 1)]


@pytest.mark.parametrize(("warmup", "cooldown"), [(500, 0), (300, 50), (300, 200)])
def test_the_published_curves(build, warmup, cooldown):
    steps = 1770
    for step, got in enumerate(curve(build, steps, warmup=warmup, cooldown=cooldown)):
        wanted = Fraction(95, 100)
        if step < warmup:
            wanted = Fraction(85, 100) + Fraction(10, 100) * step / warmup
        elif step > steps - cooldown:
            wanted = Fraction(95, 100) - Fraction(10, 100) * (step - (steps - cooldown)) / cooldown
        assert got == pytest.approx(float(wanted), abs=1e-12)


def test_corners(build):
    got = curve(build, 100, low=0.5, high=0.9, warmup=0.3, cooldown=0.1)
    assert got[0] == 0.5
    assert got[30] == got[60] == got[90] == pytest.approx(0.9)
    assert got[15] == pytest.approx(0.7)
    assert got[95] == pytest.approx(0.7)
    assert got[100] == pytest.approx(0.5)


def slow_momentum(gradients, mus):
    m = torch.zeros(3, 4, dtype=torch.float64)
    for g, mu in zip(gradients, mus, strict=True):
        m = mu * m + (1 - mu) * g
    return m


def test_muon_keeps_its_average_with_the_momentum_of_the_step(build):
    run = build(muon={"momentum": 0.3}, momentum_schedule={"warmup": 4, "low": 0.5, "high": 0.8, "cooldown": 0})
    rule = next(stack.rule for stack in run.optimizer.stacks if stack.group.role == "matrix")
    gradients = torch.randn(6, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = rule.init(gradients[0])
    for step, g in enumerate(gradients):
        run.dials.set(run.timeline.clock(step))
        rule.direction(g, g, state, {**run.dials.values, "step": step + 1})
    mus = [0.5, 0.575, 0.65, 0.725, 0.8, 0.8]
    torch.testing.assert_close(state["m"], slow_momentum(gradients, mus), rtol=1e-6, atol=1e-7)


def test_where_nothing_moves_it_is_the_very_number(build):
    for options in ({"warmup": 0, "cooldown": 0}, {"low": 0.9, "high": 0.9}):
        run = build(muon={}, momentum_schedule=options)
        assert run.dials.values["momentum"] == options.get("high", 0.95)
        assert isinstance(run.dials.values["momentum"], float)


def test_it_needs_muon_and_a_run_long_enough(build):
    with pytest.raises(PluginError, match="plugin 'momentum_schedule' needs 'muon'"):
        build(momentum_schedule={})
    with pytest.raises(PluginError, match="8 steps of warmup and 5 of cooldown do not fit in a run of 10"):
        build(muon={}, momentum_schedule={"warmup": 8, "cooldown": 5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0.96}, r"low \(0\.96\) may not exceed high \(0\.95\)"),
        ({"high": 1}, r"plugins\.momentum_schedule\.high"),
        ({"warmup": 2.5}, r"plugins\.momentum_schedule\.warmup: .*must be whole"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(muon={}, momentum_schedule=options)
