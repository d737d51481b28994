from fractions import Fraction

import pytest

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock


def exact(step: int, steps: int, warmup: Fraction, cooldown: Fraction, floor: Fraction) -> Fraction:
    """The definition in rational numbers; spans in steps."""
    if step < warmup:
        return min(Fraction(1), Fraction(step + 1) / warmup)
    q, kappa = Fraction(step, steps), cooldown / steps
    if q <= 1 - kappa:
        return Fraction(1)
    t = (q - (1 - kappa)) / kappa
    return (1 - t) + t * floor


def curve(build, steps, **options):
    run = build(wsd=options, config={"tokens": 96 * steps, "batch_tokens": 96})
    schedule = run.dials.schedules["lr"]
    assert run.timeline.steps == steps
    return [schedule(Clock(step, steps)) for step in range(steps + 1)]


@pytest.mark.parametrize(
    ("options", "warmup", "cooldown", "floor"),
    [
        ({"warmup": 5, "cooldown": 12}, 5, 12, 0),
        ({"warmup": 0.1, "cooldown": 0.5, "floor": 0.25}, 4, 20, Fraction(1, 4)),
        ({"warmup": 0.13, "cooldown": 0.33, "floor": 0.1}, Fraction(52, 10), Fraction(132, 10), Fraction(1, 10)),
        ({"warmup": 1, "cooldown": 1}, 1, 1, 0),
        ({"warmup": 10, "cooldown": 30}, 10, 30, 0),
    ],
)
def test_every_step_equals_the_definition(build, options, warmup, cooldown, floor):
    got = curve(build, 40, **options)
    wanted = [exact(step, 40, Fraction(warmup), Fraction(cooldown), Fraction(floor)) for step in range(41)]
    assert got == pytest.approx([float(value) for value in wanted], abs=1e-12)


def test_the_published_schedule_at_its_corners(build):
    schedule = build(wsd={"warmup": 0, "cooldown": 0.3}).dials.schedules["lr"].__self__
    published = type(schedule)(warmup=200, cooldown=1450)
    at = {step: published.factor(Clock(step, 4768)) for step in (0, 99, 199, 200, 3318, 3319, 4043, 4767, 4768)}
    assert at == pytest.approx(
        {
            0: 1 / 200,
            99: 0.5,
            199: 1,
            200: 1,
            3318: 1,
            3319: 1 - 1 / 1450,
            4043: 0.5,
            4767: 1 / 1450,
            4768: 0,
        },
        abs=1e-12,
    )


def test_it_rises_holds_and_falls_to_the_floor(build):
    values = curve(build, 50, warmup=0.2, cooldown=0.4, floor=0.05)
    assert values[:10] == sorted(values[:10])
    assert values[9:31] == [1.0] * 22
    assert values[30:] == sorted(values[30:], reverse=True)
    assert values[50] == pytest.approx(0.05)


def test_neutral_options_multiply_by_exactly_one(build):
    assert curve(build, 30, warmup=0, cooldown=0) == [1.0] * 31


def test_the_run_follows_the_dial(build):
    run = build(wsd={"warmup": 4, "cooldown": 4})
    factors = []
    for step in range(run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        factors.append(run.dials.lr_factor)
    assert factors == [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_spans_that_do_not_fit_are_refused_before_training(build):
    with pytest.raises(PluginError, match="8 steps of warmup and 3 of cooldown do not fit in a run of 10"):
        build(wsd={"warmup": 8, "cooldown": 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": -1}, r"plugins\.wsd\.warmup"),
        ({"cooldown": 1.5}, r"plugins\.wsd\.cooldown: .*must be whole"),
        ({"floor": 1.1}, r"plugins\.wsd\.floor"),
        ({"cooldwn": 3}, "did you mean 'cooldown'"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(wsd=options)


def test_two_owners_of_the_learning_rate_clash(build):
    with pytest.raises(PluginError, match="'cosine' and 'wsd'"):
        build(wsd={}, cosine={})
