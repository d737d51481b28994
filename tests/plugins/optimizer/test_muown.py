import math

import pytest
import torch

from coregpt.contract.rules import ParamGroup
from tests.plugins.optimizer.slow import along, at, length, random, svd_map

EXPRESS = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
] + [(2.3465413258596377, -1.7097828382687081, 0.42323551169305323)] * 8
DIAL = "muown.share"


def rules(build, shape, path="blocks.0.mlp.up.weight", **options):
    group = ParamGroup("matrix", shape, (path,))
    hook = build(muown=options).assembly.hook
    return hook.make_update(group=group), hook.make_decay(group=group)


def slow_muown(w, gradients, shares, lr, end=2.496, mu=0.95):
    """Weights after every step, with lengths, directions and |v| kept apart as the definition does."""
    rows, columns = w.shape
    g = [length(row) or math.sqrt(0.33) for row in w]
    first = list(g)
    u = torch.stack([row / size for row, size in zip(w, g, strict=True)])
    m, gm, gv, found = torch.zeros_like(w), [0.0] * rows, [0.0] * rows, []
    for t, (grad, share) in enumerate(zip(gradients, shares, strict=True), start=1):
        long = [start + (end - start) * share for start in first]
        dg = [float(grad[i] @ u[i]) for i in range(rows)]
        dv = torch.stack([g[i] / long[i] * (grad[i] - u[i] * dg[i]) for i in range(rows)])
        m = mu * m + dv
        ahead = dv + mu * m
        size = 1.02 * length(ahead) + 1e-6
        o = svd_map(ahead / size, lambda value: along(EXPRESS, value))
        v = torch.stack([u[i] * long[i] - lr * 0.2 * math.sqrt(max(rows, columns)) * o[i] for i in range(rows)])
        for i in range(rows):
            gm[i], gv[i] = 0.9 * gm[i] + 0.1 * dg[i], 0.95 * gv[i] + 0.05 * dg[i] ** 2
            g[i] -= lr * (gm[i] / (1 - 0.9**t)) / (math.sqrt(gv[i] / (1 - 0.95**t)) + 1e-8)
        u = torch.stack([row / length(row) for row in v])
        found.append(torch.stack([g[i] * u[i] for i in range(rows)]))
    return found


@pytest.mark.parametrize("shape", [(4, 3), (3, 5)])
def test_steps_equal_the_definition(build, shape):
    w, lr = random(1, *shape), 0.05
    gradients = [random(1, *shape, seed=seed) for seed in range(1, 6)]
    shares = [0.0, 0.0, 0.2, 0.5, 1.0]
    rule, decay = rules(build, shape)
    state, rate = rule.init(w), torch.full((1, 1, 1), lr, dtype=torch.float64)
    wanted = slow_muown(w[0], [g[0] for g in gradients], shares, lr)
    for step, g in enumerate(gradients):
        dials = at(step + 1, **{DIAL: torch.tensor(shares[step], dtype=torch.float64)})
        update = rule.direction(w, g, state, dials)
        w = w - decay.amount(w, update, rate, 0 * rate, dials) - rate * update
        torch.testing.assert_close(w[0], wanted[step], rtol=1e-6, atol=1e-6)


def test_rows_of_zeros_start_to_move(build):
    rule, decay = rules(build, (4, 3))
    w, g = torch.zeros(1, 4, 3, dtype=torch.float64), random(1, 4, 3)
    rate, dials = torch.full((1, 1, 1), 0.1, dtype=torch.float64), at(1, **{DIAL: torch.tensor(0.0)})
    update = rule.direction(w, g, rule.init(w), dials)
    w = w - decay.amount(w, update, rate, 0 * rate, dials) - rate * update
    for row in w[0]:
        assert length(row) == pytest.approx(math.sqrt(0.33), rel=1e-9)


def test_the_length_of_v_follows_the_clock_and_the_second_matrix_goes_further(build):
    run = build(muown={}, config={"tokens": 5 * 96})
    seen = []
    for step in range(5):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen == pytest.approx([0, 0, 0.25**1.2, 0.5**1.2, 0.75**1.2])
    for path, end in (("blocks.0.mlp.up.weight", 2.496), ("blocks.0.mlp.down.weight", 2.496 * 3.333)):
        rule, _ = rules(build, (4, 3), path)
        got = rule.length(torch.ones(1, 4, 1), at(1, **{DIAL: torch.tensor(1.0)}))
        assert got.flatten().tolist() == pytest.approx([end] * 4)


def test_a_step_of_the_whole_model_moves_every_row_s_length_by_the_rate(build, batch):
    """Adam's first step is a sign, so each row's length changes by lr at most."""
    run = build(muown={"lr": 0.01})
    before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
    tokens, targets = batch()
    run.dials.set(run.timeline.clock(0))
    run.model(tokens, targets, run.dials.values)[0].backward()
    run.optimizer.step(1.0, run.dials.values)
    for path, p in run.assembly.params.items():
        if run.assembly.infos[path].role == "matrix":
            change = p.detach().double().norm(dim=1) - before[path].norm(dim=1)
            assert float(change.abs().max()) < 0.0101, path
            assert float(change.abs().median()) > 0.0099, path  # epsilon counts where a gradient is tiny
