import math

import torch

from coregpt.contract.rules import Clock


def test_the_step_is_made_with_the_gradient_uphill(build, batch):
    run = build(sam={"rho": 0.3})
    (companion,) = run.companions
    tokens, targets = batch()
    params = run.assembly.params
    start = {path: p.detach().clone() for path, p in params.items()}
    run.model(tokens, targets, run.dials.values)[0].backward()
    gradients = {path: p.grad.double().clone() for path, p in params.items()}
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
    assert companion.wants_pass(Clock(0, 10))
    with torch.no_grad():
        companion.before_pass(Clock(0, 10))
    for path, p in params.items():
        wanted = start[path].double() + 0.3 * gradients[path] / norm
        torch.testing.assert_close(p.detach().double(), wanted, rtol=0, atol=1e-6, msg=path)
    moved = math.sqrt(
        sum(float((p.detach().double() - start[path].double()).square().sum()) for path, p in params.items())
    )
    assert math.isclose(moved, 0.3, rel_tol=1e-4)
    run.optimizer.clear()
    run.model(tokens, targets, run.dials.values)[0].backward()
    uphill = {path: p.grad.clone() for path, p in params.items()}
    with torch.no_grad():
        companion.after_pass(Clock(0, 10))
    for path, p in params.items():
        assert torch.equal(p.detach(), start[path])
        assert torch.equal(p.grad, uphill[path])


def test_no_gradient_is_no_move(build):
    run = build(sam={})
    (companion,) = run.companions
    before = {path: p.detach().clone() for path, p in run.assembly.params.items()}
    with torch.no_grad():
        companion.before_pass(Clock(0, 10))
    assert all(torch.equal(p.detach(), before[path]) for path, p in run.assembly.params.items())
