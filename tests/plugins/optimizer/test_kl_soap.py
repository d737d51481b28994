import torch

from tests.plugins.optimizer.slow import at, directions, length, random, rule_of


def gram_schmidt(columns):
    found = []
    for x in columns.T:
        for y in found:
            x = x - (x @ y) * y
        found.append(x / length(x))
    return torch.stack(found, dim=1)


def slow_kl_soap(gradients, beta1=0.95, beta2=0.9, eps=1e-8):
    rows, columns = gradients[0].shape
    first = gradients[0]
    left, right = first @ first.T / columns, first.T @ first / rows
    ql, qr = torch.linalg.svd(left)[0], torch.linalg.svd(right)[0]
    on_left, on_right = [0.1] * rows, [0.1] * columns
    moment = v = torch.zeros(rows, columns, dtype=torch.float64)  # `moment` in the space of the weights
    found = [torch.zeros_like(first)]
    for g in gradients[1:]:
        inside = ql.T @ g @ qr
        moment = beta1 * moment + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * inside**2
        found.append(ql @ ((ql.T @ moment @ qr) / (v.sqrt() + eps)) @ qr.T)
        y = sum(torch.outer(g @ qr[:, j], torch.eye(columns).double()[j]) / on_right[j] ** 0.5 for j in range(columns))
        z = sum(torch.outer(torch.eye(rows).double()[i], ql[:, i] @ g) / on_left[i] ** 0.5 for i in range(rows))
        new_left = [
            beta2 * on_left[i]
            + (1 - beta2) * sum(float(inside[i, j]) ** 2 / on_right[j] for j in range(columns)) / columns
            for i in range(rows)
        ]
        on_right = [
            beta2 * on_right[j] + (1 - beta2) * sum(float(inside[i, j]) ** 2 / on_left[i] for i in range(rows)) / rows
            for j in range(columns)
        ]
        on_left = new_left
        left = beta2 * left + (1 - beta2) * y @ y.T / columns
        right = beta2 * right + (1 - beta2) * z.T @ z / rows
        ql, qr = gram_schmidt(left @ ql), gram_schmidt(right @ qr)
    return found


def test_steps_equal_the_definition(build):
    gradients = [random(2, 4, 4, seed=seed) for seed in range(7)]
    got, _ = directions(rule_of(build, (4, 4), 2, kl_soap={}), gradients)
    for member in range(2):
        for update, wanted in zip(got, slow_kl_soap([g[member] for g in gradients]), strict=True):
            torch.testing.assert_close(update[member], wanted, rtol=1e-6, atol=1e-6)


def test_a_turn_of_the_bases_leaves_the_momentum_where_it_is(build):
    rule = rule_of(build, (5, 3), kl_soap={})
    gradients = [random(1, 5, 3, seed=seed) for seed in range(6)]
    _, state = directions(rule, gradients)
    moment = sum(0.05 * 0.95 ** (5 - i) * gradients[i][0] for i in range(1, 6))
    found = state["left_basis"][0] @ state["m"][0] @ state["right_basis"][0].T
    torch.testing.assert_close(found, moment, rtol=1e-8, atol=1e-8)
    for side in ("left", "right"):
        q = state[f"{side}_basis"][0]
        torch.testing.assert_close(q.T @ q, torch.eye(len(q)).double(), rtol=0, atol=1e-9)


def test_a_matrix_without_gradient_stays(build):
    rule, zeros = rule_of(build, (4, 3), kl_soap={}), torch.zeros(1, 4, 3)
    state = rule.init(zeros)
    for step in range(1, 200):
        assert not rule.direction(zeros, zeros, state, at(step)).any()
    assert all(torch.isfinite(value).all() for value in state.values())


def test_on_the_hyperball_it_keeps_norms(build, batch):
    run = build(kl_soap={}, hyperball={})
    before = {path: length(p.detach()) for path, p in run.assembly.params.items()}
    for step in range(3):
        tokens, targets = batch(seed=step)
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(1.0, run.dials.values)
    for path, p in run.assembly.params.items():
        if run.assembly.infos[path].role == "matrix":
            assert abs(length(p.detach()) / before[path] - 1) < 1e-5
