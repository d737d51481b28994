import pytest
import torch

from coregpt.contract.rules import Clock

PLUGINS = {"muon": {"lr": 0.02, "weight_decay": 0.1}, "wsd": {"warmup": 0, "cooldown": 0.5}}


@pytest.mark.parametrize("step", [0, 6, 9])
def test_matrices_step_and_decay_as_without_a_schedule_and_the_rest_with_it(build, step):
    """From equal weights and gradients, against a run whose rate stands at its peak."""
    run, peak = build(constant_matrices={}, **PLUGINS), build(muon=PLUGINS["muon"])
    generator = torch.Generator().manual_seed(0)
    for one, other in zip(run.optimizer.stacks, peak.optimizer.stacks, strict=True):
        one.grad.copy_(torch.randn(one.grad.shape, generator=generator))
        other.grad.copy_(one.grad)
    start = {path: value.detach().clone() for path, value in run.assembly.params.items()}
    run.dials.set(Clock(step, 10))
    run.optimizer.step(run.dials.lr_factor, run.dials.values)
    peak.optimizer.step(1.0, peak.dials.values)
    for path, value in run.assembly.params.items():
        factor = 1.0 if run.assembly.infos[path].role == "matrix" else min(1.0, 2 - step / 5)
        wanted = factor * (peak.assembly.params[path] - start[path])
        torch.testing.assert_close(value - start[path], wanted, rtol=1e-3, atol=1e-6)


def test_where_the_schedule_is_zero_nothing_moves_and_nothing_overflows(build):
    run = build(constant_matrices={}, **PLUGINS)
    run.dials.set(Clock(10, 10))
    assert float(run.dials.values["constant_matrices"]) == 0


@pytest.mark.parametrize("around", [{"radial_brake": {}}, {"hyperball": {}}, {"cautious_wd": {}}])
def test_rules_that_set_a_norm_see_the_constant_rate_too(build, around):
    """Late in a cooldown a matrix moves as far as at the peak, and ends with the norm that its rule gives it."""
    plugins = {"muon": {"lr": 0.02, "weight_decay": 0.1}, **around}
    run, peak = build(constant_matrices={}, wsd={"warmup": 0, "cooldown": 0.8}, **plugins), build(**plugins)
    generator = torch.Generator().manual_seed(0)
    for step in range(2):
        for one, other in zip(run.optimizer.stacks, peak.optimizer.stacks, strict=True):
            one.grad.copy_(torch.randn(one.grad.shape, generator=generator))
            other.grad.copy_(one.grad)
        run.dials.set(Clock(6 + step, 10))
        run.optimizer.step(run.dials.lr_factor, run.dials.values)
        peak.optimizer.step(1.0, peak.dials.values)
    for path, value in run.assembly.params.items():
        if run.assembly.infos[path].role == "matrix":
            torch.testing.assert_close(value, peak.assembly.params[path], rtol=1e-3, atol=1e-5, msg=path)
