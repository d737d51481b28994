import pytest
import torch

from coregpt.contract.rules import Clock


def walk(run, steps):
    """Move every weight at random in every step; (weights before, weights after the companion) of each."""
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for param in run.assembly.params.values():
            param.data.add_(torch.randn(param.shape, generator=generator))
        moved = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
        for companion in run.companions:
            companion.after_update(Clock(step, steps))
        yield moved, {path: p.detach().double().clone() for path, p in run.assembly.params.items()}


@pytest.mark.parametrize(("lr", "mu"), [(0.7, 0.5), (1.0, 0.3), (0.4, 0.0)])
def test_outer_steps_are_nesterov_s_on_the_way_that_was_gone(build, lr, mu):
    run = build(snoo={"every": 3, "lr": lr, "momentum": mu})
    path = "blocks.1.mlp.up.weight"
    start = run.assembly.params[path].detach().double().clone()
    u = torch.zeros_like(start)
    for step, (moved, after) in enumerate(walk(run, 10), start=1):
        if step % 3:
            assert torch.equal(moved[path], after[path])
            continue
        d = start - moved[path]
        u = mu * u + lr * d
        start = start - mu * u - lr * d
        torch.testing.assert_close(after[path], start, rtol=0, atol=1e-5)


def test_a_run_shorter_than_one_outer_step_is_the_plain_run(build):
    run = build(snoo={"every": 20})
    assert all(torch.equal(moved[path], after[path]) for moved, after in walk(run, 10) for path in moved)


def test_the_first_outer_step_without_momentum_is_an_interpolation(build):
    run = build(snoo={"every": 1, "lr": 0.25, "momentum": 0.0})
    start = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
    ((moved, after),) = walk(run, 1)
    for path, before in start.items():
        torch.testing.assert_close(after[path], before + 0.25 * (moved[path] - before), rtol=0, atol=1e-6)
