import math

import torch

from coregpt.contract.rules import Clock
from tests.plugins.optimizer.slow import slow_polar


def watch(run):
    """{weight path: inputs (tokens, width)} of one forward pass, heard from outside."""
    heard, hooks = {}, []
    for module in run.model.modules():
        if type(module).__name__ == "Watched":
            hooks.append(module.register_forward_hook(lambda m, inputs, _: heard.update({m.path: inputs[0].detach()})))
    return heard, hooks


def test_a_step_after_a_refresh_equals_the_definition(build, batch):
    run = build(
        newton_muon={"every": 2},
        muon={"polar": "ns12", "momentum": 0.0, "lr": 0.02},
        config={"optim": {"grad_clip": 0}},
    )
    (companion,) = run.companions
    run.model.train()
    params = run.assembly.params
    heard, _ = watch(run)
    inputs = {}
    for step in range(3):
        tokens, targets = batch(seed=step)
        before = {path: p.detach().double().clone() for path, p in params.items()}
        run.model(tokens, targets, run.dials.values)[0].backward()
        gradients = {path: p.grad.double().clone() for path, p in params.items()}
        companion.before_update(Clock(step, 10))
        run.optimizer.step(1.0, run.dials.values)
        for path, x in heard.items():
            inputs.setdefault(path, []).append(x.reshape(-1, x.shape[-1]).double())
            if path.startswith("blocks.1."):
                g = gradients[path]
                if step:  # the second step has the moments of the first two, and the third goes on with them
                    g = divided(g, torch.cat(inputs[path][:2]))
                wanted = slow_polar(g) * math.sqrt(max(1, g.shape[0] / g.shape[1]))
                moved = (before[path] - params[path].detach().double()) / 0.02
                torch.testing.assert_close(moved, wanted, rtol=0, atol=5e-3, msg=f"{path} {step}")
    assert len(heard) == 4 * 6


def divided(g, inputs, dim=32):
    """G (S + k I)^-1, piece by piece, by solving."""
    parts = []
    for start in range(0, inputs.shape[1], dim):
        x = inputs[:, start : start + dim]
        s = 0.95 * 0.001 * torch.eye(dim, dtype=torch.float64) + 0.05 * x.T @ x / len(x)
        k = 0.2 * float(s.diag().sum()) / dim + 1e-8
        parts.append(torch.linalg.solve(s + k * torch.eye(dim, dtype=torch.float64), g[:, start : start + dim].T).T)
    return torch.cat(parts, dim=1)


def test_before_the_first_refresh_it_is_muon(build, batch):
    ends = []
    for plugins in ({}, {"newton_muon": {}}):
        run = build(muon={}, **plugins)
        run.model.train()
        for step in range(3):
            tokens, targets = batch(seed=step)
            run.model(tokens, targets, run.dials.values)[0].backward()
            for companion in run.companions:
                companion.before_update(Clock(step, 10))
            run.optimizer.step(1.0, run.dials.values)
        ends.append(run.assembly.params)
    for path, p in ends[0].items():
        torch.testing.assert_close(ends[1][path], p, rtol=0, atol=1e-5, msg=path)


def test_evaluation_is_not_read(build, batch):
    run = build(muon={}, newton_muon={})
    run.model.eval()
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)
    assert not any(part.total.any() for part in run.companions[0].watched)


def test_a_moment_that_is_not_positive_counts_as_the_identity(build):
    run = build(muon={}, newton_muon={})
    (companion,) = run.companions
    companion.tokens = 1.0
    companion.sums[0].fill_(-1e6)
    companion.refresh()
    path = companion.watched[0].path
    assert torch.equal(companion.rules[path].news[path][0], torch.eye(32))
