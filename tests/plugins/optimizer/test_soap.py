import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import ParamGroup


def rule(build, shape=(4, 4), **options):
    return build(soap=options).assembly.hook.make_update(group=ParamGroup("matrix", shape, ("w",)))


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def outer_sum(vectors):
    return sum(torch.outer(x, x) for x in vectors)


def slow_basis(statistic, basis):
    """Sorted by Rayleigh quotients, one power step, Gram-Schmidt; also the order."""
    quotients = [float(x @ statistic @ x) for x in basis.T]
    order = sorted(range(len(quotients)), key=lambda i: -quotients[i])
    columns = []
    for i in order:
        x = statistic @ basis[:, i]
        for y in columns:
            x = x - (x @ y) * y
        columns.append(x / math.sqrt(float(x @ x)))
    return torch.stack(columns, dim=1), order


def slow_soap(gradients, beta1=0.95, beta2=0.95, eps=1e-8, every=10, right=True):
    """One matrix; every update after the first, by the definition. `right` False: identity on that side."""
    rows, columns = gradients[0].shape
    first = gradients[0]
    left_statistic = (1 - beta2) * outer_sum(first.T)
    right_statistic = (1 - beta2) * outer_sum(first)
    ql = torch.linalg.svd(left_statistic)[0]  # another way to the eigenvectors, largest first; signs do not matter
    qr = torch.linalg.svd(right_statistic)[0] if right else torch.eye(columns, dtype=torch.float64)
    m, v, updates = torch.zeros_like(first), torch.zeros_like(first), [torch.zeros_like(first)]
    for t, g in enumerate(gradients[1:], start=1):
        m = beta1 * m + (1 - beta1) * g
        inside = torch.zeros_like(g)
        for i in range(rows):
            for j in range(columns):
                v[i, j] = beta2 * v[i, j] + (1 - beta2) * (ql[:, i] @ g @ qr[:, j]) ** 2
                inside[i, j] = (ql[:, i] @ m @ qr[:, j]) / (math.sqrt(v[i, j]) + eps)
        correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
        update = sum(inside[i, j] * torch.outer(ql[:, i], qr[:, j]) for i in range(rows) for j in range(columns))
        updates.append(correction * update)
        left_statistic = beta2 * left_statistic + (1 - beta2) * outer_sum(g.T)
        right_statistic = beta2 * right_statistic + (1 - beta2) * outer_sum(g)
        if t % every == 0:
            ql, order = slow_basis(left_statistic, ql)
            v = v[order]
            if right:
                qr, order = slow_basis(right_statistic, qr)
                v = v[:, order]
    return updates


def run_rule(r, gradients):
    """Updates of a stream of stacks (n, ..., r, c), and the last state."""
    state = r.init(gradients[0])
    return [r.direction(g, g, state, {"step": i + 1}).clone() for i, g in enumerate(gradients)], state


@pytest.mark.parametrize(
    "options", [{}, {"every": 1}, {"every": 3, "beta1": 0.9, "beta2": 0.8, "eps": 1e-3}, {"every": 2, "beta1": 0.0}]
)
def test_every_update_equals_the_definition(build, options):
    gradients = [random(2, 4, 4, seed=seed) for seed in range(13)]
    got, _ = run_rule(rule(build, **options), gradients)
    for member in range(2):
        for update, wanted in zip(got, slow_soap([g[member] for g in gradients], **options), strict=True):
            torch.testing.assert_close(update[member], wanted, rtol=1e-7, atol=1e-7)


def test_a_side_that_is_too_long_keeps_the_identity(build):
    gradients = [random(1, 3, 7, seed=seed) for seed in range(13)]
    got, state = run_rule(rule(build, (3, 7), max_side=5), gradients)
    assert set(state) == {"m", "v", "left_statistic", "left_basis"}
    for update, wanted in zip(got, slow_soap([g[0] for g in gradients], right=False), strict=True):
        torch.testing.assert_close(update[0], wanted, rtol=1e-7, atol=1e-7)


def test_with_no_basis_at_all_it_is_adam_one_step_late(build):
    gradients = [random(1, 3, 4, seed=seed) for seed in range(6)]
    got, _ = run_rule(rule(build, max_side=2), gradients)
    assert not got[0].any()
    m = v = torch.zeros(3, 4, dtype=torch.float64)
    for t, g in enumerate(gradients[1:], start=1):
        m, v = 0.95 * m + 0.05 * g[0], 0.95 * v + 0.05 * g[0] ** 2
        wanted = (m / (1 - 0.95**t)) / (v / (1 - 0.95**t)).sqrt()
        torch.testing.assert_close(got[t][0], wanted, rtol=1e-5, atol=0)


def test_diagonal_gradients_have_adam_s_updates(build):
    gradients = [torch.diag(random(4, seed=seed)).unsqueeze(0) for seed in range(25)]
    got, _ = run_rule(rule(build), gradients)
    without, _ = run_rule(rule(build, max_side=1), gradients)
    for one, other in zip(got, without, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (8, 3), (2, 4, 4)])
def test_bases_stay_orthonormal_and_updates_finite(build, shape):
    gradients = [random(2, *shape, seed=seed) for seed in range(25)]
    got, state = run_rule(rule(build, shape), gradients)
    for side in ("left", "right"):
        q = state[f"{side}_basis"]
        torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[-1]).double().expand_as(q), rtol=0, atol=1e-9)
    assert all(torch.isfinite(update).all() for update in got)
    assert float(got[-1].square().mean().sqrt()) < 2


def test_the_basis_of_a_steady_stream_holds_its_eigenvectors(build):
    """Gradients with fixed covariances: the basis diagonalises the statistic after some power steps."""
    scale = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    turn = torch.linalg.qr(random(4, 4, seed=99))[0]
    gradients = [((turn * scale) @ random(4, 4, seed=seed)).unsqueeze(0) for seed in range(400)]
    _, state = run_rule(rule(build, every=1, beta2=0.99), gradients)
    q, statistic = state["left_basis"][0], state["left_statistic"][0]
    inside = q.T @ statistic @ q
    assert (inside - torch.diag(inside.diag())).abs().max() < 1e-3 * inside.abs().max()
    assert (inside.diag().diff() < 0).all()


def test_a_matrix_without_gradient_stays(build):
    zeros = torch.zeros(2, 4, 4)
    got, state = run_rule(rule(build, every=1), [zeros] * 4)
    assert all(not update.any() for update in got)
    assert all(torch.isfinite(value).all() for value in state.values())


def test_it_moves_matrices_only(build):
    hook = build(soap={"lr": 0.5, "weight_decay": 0.25}).assembly.hook
    made = {role: hook.make_update(group=ParamGroup(role, (4, 4), ("w",))) for role in ("matrix", "head", "gate")}
    assert [type(made[role]).__name__ for role in made] == ["InEigenbasis", "AdamW", "AdamW"]
    assert (made["matrix"].lr, made["matrix"].weight_decay) == (0.5, 0.25)
    with pytest.raises(PluginError, match="claimed by 'muon' and 'soap'"):
        build(soap={}, muon={})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every": 0}, r"plugins\.soap\.every"), ({"beta2": 1}, r"plugins\.soap\.beta2"), ({"eps": 0}, r"soap\.eps")],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(soap=options)
