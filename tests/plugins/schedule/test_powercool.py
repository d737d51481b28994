import itertools

import pytest
import torch
from coregpt_plugins.schedule.powercool import OTHERS, Powercool

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock


def test_the_published_run_point_by_point():
    """c max(0, t_end - s)^1.2 under the peak, with the published factors of matrices and of the embedding."""
    rule = Powercool(matrices=2386, others=1413)
    for s in range(0, 2900, 7):
        clock = Clock(s, 2900)
        matrices = min(0.0375, 3.3169534699576625e-6 * (2900 - s) ** 1.2) / 0.0375
        embedding = min(0.3, 4.976805410800738e-5 * (2900 - s) ** 1.2) / 0.3
        assert rule.factor(clock, rule.matrices) == pytest.approx(matrices, rel=3e-4)
        assert rule.factor(clock, rule.matrices) * rule.ratio(clock) == pytest.approx(embedding, rel=3e-4)


def test_flat_then_falling_to_zero_at_the_end_or_behind_it():
    rule, late = Powercool(matrices=60, others=20), Powercool(matrices=60, others=20, past=10)
    values = [rule.factor(Clock(s, 100), 60) for s in range(101)]
    assert values[:41] == [1.0] * 41
    assert all(a > b for a, b in itertools.pairwise(values[40:]))
    assert values[70] == pytest.approx(0.5**1.2)
    assert values[100] == 0
    assert late.factor(Clock(100, 100), 60) == pytest.approx((10 / 60) ** 1.2)
    assert [rule.ratio(Clock(100, 100)), late.factor(Clock(110, 100), 60)] == [1.0, 0.0]


@pytest.mark.parametrize("others", [{}, {"muon": {}}])
def test_all_but_matrices_move_by_their_own_factor(build, others):
    """Against a run without the schedule: one step from equal weights, gradients and states."""
    run, plain = (build(**each, **others) for each in ({"powercool": {"matrices": 10, "others": 2}}, {}))
    generator = torch.Generator().manual_seed(0)
    for one, other in zip(run.optimizer.stacks, plain.optimizer.stacks, strict=True):
        one.grad.copy_(torch.randn(one.grad.shape, generator=generator))
        other.grad.copy_(one.grad)
    clock = Clock(5, 10)
    run.dials.set(clock)
    start = {path: value.detach().clone() for path, value in run.assembly.params.items()}
    run.optimizer.step(run.dials.lr_factor, run.dials.values)
    plain.optimizer.step(1.0, plain.dials.values)
    assert run.dials.lr_factor == pytest.approx(0.5**1.2)
    for path, value in run.assembly.params.items():
        factor = 0.5**1.2 if run.assembly.infos[path].role == "matrix" else 1.0
        wanted = factor * (plain.assembly.params[path] - start[path])
        torch.testing.assert_close(value - start[path], wanted, rtol=1e-3, atol=1e-7)
    assert set(run.dials.values) == {"lr", OTHERS}


def test_a_cooldown_longer_than_the_run_is_refused():
    with pytest.raises(PluginError, match="a cooldown of 120 steps in a run of 100 and 10 steps past it"):
        Powercool(matrices=120, past=10).factor(Clock(0, 100), 120)
