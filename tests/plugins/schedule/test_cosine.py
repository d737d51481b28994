import math

import pytest

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock


def curve(build, steps, **options):
    run = build(cosine=options, config={"tokens": 96 * steps, "batch_tokens": 96})
    return [run.dials.schedules["lr"](Clock(step, steps)) for step in range(steps + 1)]


@pytest.mark.parametrize(
    ("options", "warmup", "floor"),
    [({"warmup": 8, "floor": 0.1}, 8, 0.1), ({"warmup": 0.25, "floor": 0}, 10, 0.0), ({"warmup": 0}, 0, 0.1)],
)
def test_every_step_equals_the_definition(build, options, warmup, floor):
    for step, got in enumerate(curve(build, 40, **options)):
        if step < warmup:
            wanted = (step + 1) / warmup
        else:  # the same curve by the half-angle identity: (1 + cos a) / 2 = cos^2(a / 2)
            wanted = floor + (1 - floor) * math.cos(math.pi / 2 * (step - warmup) / (40 - warmup)) ** 2
        assert got == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("ramp", "wanted"),
    [
        ("(s+1)/w", [1 / 4, 2 / 4, 3 / 4, 1, 1]),
        ("(s+1)/(w+1)", [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1]),  # nanoGPT
        ("s/w", [0, 1 / 4, 2 / 4, 3 / 4, 1]),
    ],
)
def test_the_three_published_ramps(build, ramp, wanted):
    got = curve(build, 40, warmup=4, ramp=ramp)
    assert got[:5] == pytest.approx(wanted, abs=1e-12)
    assert got[4:] == curve(build, 40, warmup=4)[4:]
    assert curve(build, 30, warmup=0, floor=1, ramp=ramp) == [1.0] * 31


def test_corners(build):
    values = curve(build, 48, warmup=8, floor=0.2)
    assert values[7] == values[8] == 1
    assert values[28] == pytest.approx((1 + 0.2) / 2)
    assert values[48] == pytest.approx(0.2)
    assert values[8:] == sorted(values[8:], reverse=True)


def test_neutral_options_multiply_by_exactly_one(build):
    assert curve(build, 30, warmup=0, floor=1) == [1.0] * 31


def test_the_run_follows_the_dial(build):
    run = build(cosine={"warmup": 2, "floor": 0})
    run.dials.set(run.timeline.clock(0))
    assert run.dials.lr_factor == 0.5
    run.dials.set(run.timeline.clock(6))
    assert run.dials.lr_factor == pytest.approx(0.5)


def test_a_warmup_as_long_as_the_run_is_refused(build):
    with pytest.raises(PluginError, match="10 steps of warmup leave nothing of a run of 10"):
        build(cosine={"warmup": 10})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": 2.5}, r"plugins\.cosine\.warmup: .*must be whole"),
        ({"floor": -0.1}, r"plugins\.cosine\.floor"),
        ({"ramp": "s/(w+1)"}, r"plugins\.cosine\.ramp"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(cosine=options)
