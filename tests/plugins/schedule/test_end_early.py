import pytest

from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import Clock, Stages

STEPS = 90


def dial(run, name, step, steps=STEPS):
    return run.dials.schedules[name](Clock(step, steps))


@pytest.mark.parametrize(
    ("name", "schedules"),
    [
        ("lr", {"wsd": {"cooldown": 0.4, "warmup": 0.1, "floor": 0.1}}),
        ("lr", {"powercool": {"matrices": 0.5}}),
        ("momentum", {"muon": {}, "momentum_schedule": {"warmup": 0.2, "cooldown": 0.2}}),
        ("sliding_window.L", {"sliding_window": {}}),
    ],
)
def test_a_schedule_is_the_one_of_the_longer_run(build, name, schedules):
    """90 of 100 steps: a tenth of them is not made."""
    run, plain = build(end_early={"by": 0.1}, **schedules), build(**schedules)
    for step in range(STEPS):
        assert dial(run, name, step) == pytest.approx(dial(plain, name, step, 100), abs=1e-12)


def test_stages_are_cut_where_the_longer_run_has_them(build):
    schedules = {"batch_schedule": {"batch": [1, 2, 4], "lr": [1, 1, 1], "fractions": [0.3, 0.62, 0.08]}}
    run, plain = build(end_early={"by": 0.1}, **schedules), build(**schedules)
    found = run.dials.schedules["batch_tokens"]
    assert isinstance(found, Stages)
    for step in range(STEPS):
        assert dial(run, "batch_tokens", step) == dial(plain, "batch_tokens", step, 100)
    assert len(found.values) == 2  # the last begins at step 92


def test_the_whole_run_cannot_be_left_out(build):
    with pytest.raises(ConfigError, match=r"plugins\.end_early\.by"):
        build(end_early={"by": 1.0})
