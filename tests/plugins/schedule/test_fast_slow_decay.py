import pytest

from coregpt.contract.errors import ConfigError


def published(t):
    """The four phases of 3125 steps, as rates with a peak of 0.030 and a floor of 0.006."""
    if t < 100:
        return 0.030 * (t + 1) / 100
    if t < 200:
        return 0.030
    if t < 1750:
        return 0.030 + (0.006 - 0.030) * ((t - 200) / (1750 - 200)) ** 0.6
    return 0.006 * (1 - (t - 1750) / (3125 - 1750))


def test_the_defaults_are_the_published_run(build):
    run = build(fast_slow_decay={}, config={"tokens": 3125 * 96})
    assert run.timeline.steps == 3125
    for t in (0, 1, 50, 99, 100, 150, 199, 200, 201, 300, 1000, 1749, 1750, 1751, 2500, 3124):
        run.dials.set(run.timeline.clock(t))
        assert 0.030 * float(run.dials.values["lr"]) == pytest.approx(published(t), rel=1e-5, abs=1e-9)


def test_phases_come_in_their_order(build):
    with pytest.raises(ConfigError, match="warmup <= plateau < knee"):
        build(fast_slow_decay={"plateau": 0.7})
