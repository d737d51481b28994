import pytest
import torch

from coregpt.contract.rules import Clock


def test_a_quadratic_by_hand(build):
    """One weight with loss w^2 / 2 and steps of 0.1 along its gradient, which is taken after the look ahead."""
    run = build(ema_nesterov={"strength": 0.5, "gamma": 0.8, "start": 2, "end": 6})
    (companion,) = run.companions
    param = run.assembly.params["embedding.weight"]
    with torch.no_grad():
        param.fill_(1.0)
    companion.last["embedding.weight"].fill_(1.0)
    w, last, m, factor = 1.0, 1.0, 0.0, 1.0
    for step in range(9):
        clock = Clock(step, 9)
        companion.before_step(clock)
        with torch.no_grad():
            param.mul_(0.9)
        run.dials.values["lr"] = torch.tensor(1 - step / 9)
        companion.after_update(clock)
        if 2 <= step < 6:
            w += 0.5 * factor * m
        w *= 0.9
        m, last, factor = 0.8 * m + 0.2 * (w - last), w, 1 - step / 9
        assert float(param[3, 5].detach()) == pytest.approx(w, rel=1e-5)
        assert float(companion.way["embedding.weight"][3, 5]) == pytest.approx(m, rel=1e-4)


def test_the_gradient_is_taken_ahead_and_the_way_counts_the_whole_step(build, batch):
    run = build(ema_nesterov={"strength": 2.0, "start": 0, "end": 9})
    (companion,) = run.companions
    for step in range(3):
        before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
        way = {path: value.double().clone() for path, value in companion.way.items()}
        companion.before_step(Clock(step, 9))
        for path, p in run.assembly.params.items():
            torch.testing.assert_close(p.detach().double(), before[path] + 2 * way[path], rtol=0, atol=1e-6)
        tokens, targets = batch(seed=step)
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(1.0, run.dials.values)
        companion.after_update(Clock(step, 9))
        for path, p in run.assembly.params.items():
            wanted = 0.99 * way[path] + 0.01 * (p.detach().double() - before[path])
            torch.testing.assert_close(companion.way[path].double(), wanted, rtol=0, atol=1e-6)


def test_outside_of_its_stretch_weights_stay_and_the_average_goes_on(build):
    run = build(ema_nesterov={"start": 0.5, "end": 0.6})
    (companion,) = run.companions
    path = "blocks.0.mlp.up.weight"
    with torch.no_grad():
        run.assembly.params[path].add_(1.0)
    companion.after_update(Clock(0, 10))
    assert float(companion.way[path].mean()) == pytest.approx(0.01, rel=1e-4)
    before = run.assembly.params[path].detach().clone()
    for step in (1, 4, 6):
        companion.before_step(Clock(step, 10))
        assert torch.equal(run.assembly.params[path].detach(), before)
    companion.before_step(Clock(5, 10))
    assert not torch.equal(run.assembly.params[path].detach(), before)
