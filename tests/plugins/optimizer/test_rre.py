import itertools
import math

import pytest
import torch

from coregpt.contract.rules import Clock


def iterate(run, companion, target, modes, rates, steps, form="textbook"):
    """Weights that close in on a target along fixed modes, each by its own factor; what the companion leaves."""
    for step in range(steps):
        with torch.no_grad():
            for path, p in run.assembly.params.items():
                p.copy_(
                    target[path] + sum(rate ** (step + 1) * mode[path] for rate, mode in zip(rates, modes, strict=True))
                )
        before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
        companion.after_update(Clock(step, steps))
    return before, {path: p.detach().double().clone() for path, p in run.assembly.params.items()}


def some(run, seed):
    generator = torch.Generator().manual_seed(seed)
    return {path: torch.randn(p.shape, generator=generator) for path, p in run.assembly.params.items()}


def distance(x, y):
    return math.sqrt(sum(float((x[path].double() - y[path].double()).square().sum()) for path in x))


@pytest.mark.parametrize(("form", "closer"), [("textbook", True), ("as_published", False)])
def test_a_linear_iteration_of_two_modes(build, form, closer):
    """The textbook's form finds the fixed point, the published one moves away from it."""
    run = build(rre={"form": form, "start": 0, "end": 99, "blend": 1.0, "cap": 10.0})
    (companion,) = run.companions
    target = some(run, 0)
    before, after = iterate(run, companion, target, [some(run, 1), some(run, 2)], [0.9, 0.5], 5)
    if closer:
        assert distance(after, target) < 0.05 * distance(before, target)
    else:
        assert distance(after, target) > 1.2 * distance(before, target)


def test_the_jump_by_the_definition(build):
    run = build(rre={"start": 1, "end": 8, "blend": 0.5, "cap": 10.0})
    (companion,) = run.companions
    seen = []
    for step in range(5):
        for p, noise in zip(run.assembly.params.values(), some(run, step).values(), strict=True):
            p.data.add_(noise)
        seen.append(torch.cat([p.detach().double().flatten() for p in run.assembly.params.values()]))
        companion.after_update(Clock(step, 8))
    got = torch.cat([p.detach().double().flatten() for p in run.assembly.params.values()])
    x = seen[1:]
    u = torch.stack([b - a for a, b in itertools.pairwise(x)])
    f = u @ u.T
    f = f + (1e-6 * f.trace() / 3 + 1e-10) * torch.eye(3)
    c = torch.linalg.inv(f).sum(1)
    c = c / c.sum()
    star = x[3] - sum(sum(c[: j + 1]) * u[j] for j in range(3))
    torch.testing.assert_close(star, sum(c[j] * x[j] for j in range(3)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got, x[3] + 0.5 * (star - x[3]), rtol=0, atol=1e-4)
    assert len(companion.history) == 1


def test_the_cap_bounds_the_jump(build):
    run = build(rre={"start": 0, "end": 8, "cap": 0.01})
    (companion,) = run.companions
    target = some(run, 0)
    before, after = iterate(run, companion, target, [some(run, 1)], [0.9], 5)
    size = math.sqrt(sum(float(value.square().sum()) for value in before.values()))
    assert distance(after, before) == pytest.approx(0.01 * size, rel=1e-4)


def test_outside_of_its_stretch_nothing_happens(build):
    run = build(rre={"start": 0.5, "end": 0.9, "every": 1})
    (companion,) = run.companions
    for step in (0, 4, 9):
        companion.after_update(Clock(step, 10))
    assert not companion.history
