import math

import pytest
import torch

from tests.plugins.optimizer.slow import at, length, random, rule_of, slow_muon, slow_polar


def gram_schmidt(columns):
    found = []
    for x in columns.T:
        for y in found:
            x = x - (x @ y) * y
        found.append(x / length(x))
    return torch.stack(found, dim=1)


def slow_factor(moment, basis, power, floor):
    """K and the next basis of one side."""
    size = len(moment)
    least = floor * float(moment.diag().sum()) / size
    c = moment + least * torch.eye(size, dtype=torch.float64)
    basis = gram_schmidt(c @ basis)
    weights = [max(float(q @ c @ q), least) ** -power for q in basis.T]
    norm = math.sqrt(sum(w * w for w in weights))
    k = sum(w * torch.outer(q, q) for w, q in zip(weights, basis.T, strict=True))
    return k * math.sqrt(size) / norm, basis


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_steps_equal_the_definition(build, shape):
    gradients = [random(1, *shape, seed=seed) * 1e-2 for seed in range(5)]
    rule = rule_of(build, shape, muon={"polar": "ns12"}, pmuon={"beta": 0.8, "floor": 1e-3})
    state = rule.init(gradients[0])
    moments = [torch.zeros(n, n, dtype=torch.float64) for n in shape]
    bases = [None, None]
    for step, (g, u) in enumerate(zip(gradients, slow_muon([g[0] for g in gradients]), strict=True), start=1):
        got = rule.direction(g, g, state, at(step))[0]
        if step == 1:  # the first bases are random: only what follows is fixed, up to the sign of columns
            for i, side in enumerate(("left", "right")):
                q = state[f"pmuon_basis_{side}"][0]
                torch.testing.assert_close(q.T @ q, torch.eye(len(q)).double(), rtol=0, atol=1e-9)
                bases[i] = q.clone()
                moments[i] = u @ u.T if i == 0 else u.T @ u
            continue
        factors = []
        for i, product in enumerate((u @ u.T, u.T @ u)):
            moments[i] = 0.8 * moments[i] + product
            k, bases[i] = slow_factor(moments[i], bases[i], 0.3, 1e-3)
            factors.append(k)
        wanted = slow_polar(factors[0] @ u @ factors[1]) * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


def test_with_the_eigenvectors_the_factor_is_a_matrix_power(build):
    rule = rule_of(build, (4, 4), muon={}, pmuon={"floor": 1e-9})
    x = random(4, 9)
    moment = x @ x.T
    values, vectors = torch.linalg.eigh(moment)
    state = rule.init(torch.zeros(1, 4, 4, dtype=torch.float64))
    state["pmuon_basis_left"][0] = vectors.flip(1)
    rule.now = type("Now", (), {"state": state, "dials": at(2)})
    got = rule.factor("left", moment.unsqueeze(0))[0]
    wanted = vectors @ torch.diag(values**-0.3) @ vectors.T
    torch.testing.assert_close(got, wanted * 2 / length(values**-0.3), rtol=1e-6, atol=1e-6)


def test_matrices_start_from_their_own_random_bases_on_any_rank(build):
    rule = rule_of(build, (4, 3), 3, muon={}, pmuon={})
    g = random(1, 4, 3).expand(3, 4, 3).clone()
    whole, part = rule.init(g), rule.init(g[1:])
    rule.direction(g, g, whole, at(1, 3))
    rule.direction(g[1:], g[1:], part, {"step": 1, "rows": torch.tensor([1, 2])})
    torch.testing.assert_close(part["pmuon_basis_left"], whole["pmuon_basis_left"][1:])
    assert not torch.allclose(whole["pmuon_basis_left"][0], whole["pmuon_basis_left"][1])


def test_zeros_stay_finite(build):
    rule, zeros = rule_of(build, (4, 3), muon={}, pmuon={}), torch.zeros(1, 4, 3)
    state = rule.init(zeros)
    for step in (1, 2, 3):
        update = rule.direction(zeros, zeros, state, at(step))
        assert torch.isfinite(update).all()
        assert not update.any()
