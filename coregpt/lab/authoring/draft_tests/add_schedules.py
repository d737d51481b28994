import pytest


def test_the_rate_rises_to_the_whole_and_falls_towards_zero(build):
    run = build(draft={"warmup": 4}, config={"tokens": 200 * 24})
    factors = []
    for step in range(run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        factors.append(float(run.dials.lr_factor))
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[-1] == pytest.approx(1 / (run.timeline.steps - 4))
