import math

import pytest
import torch

from tests.plugins.optimizer.slow import directions, length, random, rule_of, slow_muon


def slow_balance(a):
    rows, columns = a.shape
    b = a**2 / (a**2).mean() + 1e-8
    kappa = [1.0] * columns
    for _ in range(10):
        rho = [(1 / rows) / (sum(float(b[i, j]) * kappa[j] for j in range(columns)) + 1e-8) for i in range(rows)]
        kappa = [(1 / columns) / (sum(float(b[i, j]) * rho[i] for i in range(rows)) + 1e-8) for j in range(columns)]
    return torch.stack(
        [torch.stack([a[i, j] * math.sqrt(rho[i] * kappa[j]) for j in range(columns)]) for i in range(rows)]
    )


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_steps_equal_the_definition(build, shape):
    """From the step on in which every side's average has full rank: until then eigenvectors are anybody's."""
    gradients = [random(1, *shape, seed=seed) for seed in range(6)]
    got, _ = directions(rule_of(build, shape, muon={}, sink_soap={}), gradients)
    left, right = (torch.zeros(n, n, dtype=torch.float64) for n in shape)
    for step, (g, u) in enumerate(zip((g[0] for g in gradients), slow_muon([g[0] for g in gradients]), strict=True)):
        left, right = 0.95 * left + 0.05 * g @ g.T, 0.95 * right + 0.05 * g.T @ g
        ql, qr = torch.linalg.svd(left)[0], torch.linalg.svd(right)[0]
        if step >= 1:
            back = ql @ slow_balance(ql.T @ u @ qr) @ qr.T
            wanted = back * math.sqrt(min(shape)) / length(back) * math.sqrt(max(1, shape[0] / shape[1]))
            torch.testing.assert_close(got[step][0], wanted, rtol=1e-5, atol=1e-5)
        assert length(got[step]) == pytest.approx(math.sqrt(shape[0]), rel=1e-6)


def test_rows_and_columns_carry_the_same(build):
    x = random(9, 6)
    a = slow_balance(x) / x.square().mean().sqrt()
    torch.testing.assert_close((a**2).sum(0), torch.full((6,), 1 / 6).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close((a**2).sum(1), torch.full((9,), 1 / 9).double(), rtol=1e-3, atol=0)


def test_zeros_stay_finite(build):
    got, state = directions(rule_of(build, (4, 3), muon={}, sink_soap={}), [torch.zeros(1, 4, 3)] * 2)
    assert not any(update.any() for update in got)
    assert all(torch.isfinite(value).all() for value in state.values())
