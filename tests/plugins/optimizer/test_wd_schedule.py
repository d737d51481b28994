import pytest

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock


def shrunk(run, step):
    """By what share a weight shrinks in a step with gradients of zero."""
    run.dials.set(Clock(step, 10))
    weight = run.assembly.params["blocks.0.mlp.up.weight"].detach()
    before = weight.clone()
    run.optimizer.step(run.dials.lr_factor, run.dials.values)
    return float(((before - weight) / before).mean())


@pytest.mark.parametrize(("power", "wanted"), [(0, 0.5), (1, 0.25), (2, 0.125)])
def test_half_the_learning_rate_shrinks_weights_by_its_square(build, power, wanted):
    wsd = {"wsd": {"cooldown": 10}}
    full, half = (shrunk(build(wd_schedule={"power": power}, **wsd), step) for step in (0, 5))
    assert full == pytest.approx(0.01 * 0.1, rel=1e-3)
    assert half / full == pytest.approx(wanted, rel=1e-3)


def test_a_schedule_is_needed(build):
    with pytest.raises(PluginError, match="'wd_schedule' needs 'wsd'"):
        build(wd_schedule={})
