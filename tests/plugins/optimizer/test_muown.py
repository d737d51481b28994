import math

import pytest
import torch

from coregpt.contract.rules import ParamGroup
from tests.plugins.optimizer.slow import along, at, length, random, slow_largest, svd_map

EXPRESS = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
] + [(2.3465413258596377, -1.7097828382687081, 0.42323551169305323)] * 8
LONG = [
    (8.2051, -22.9019, 16.4607),
    (4.0664, -2.8612, 0.5184),
    (3.9096, -2.8234, 0.5250),
    (3.2856, -2.4153, 0.4853),
    (2.2779, -1.6198, 0.3985),
    (1.8726, -1.2307, 0.3585),
    (1.8564, -1.2132, 0.3568),
] + [(1.875, -1.25, 0.375)] * 5
DIAL, KAPPA = "muown.share", "muown.kappa"


def rules(build, shape, path="blocks.0.mlp.up.weight", beside=None, **options):
    group = ParamGroup("matrix", shape, (path,))
    hook = build(muown=options, **(beside or {})).assembly.hook
    return hook.make_update(group=group), hook.make_decay(group=group)


def express(ahead):
    size = 1.02 * length(ahead) + 1e-6
    return svd_map(ahead / size, lambda value: along(EXPRESS, value))


def slow_muown(w, gradients, shares, lr, end=2.496, mu=0.95, step=lambda t, ahead: express(ahead)):
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
        o = step(t, dv + mu * m)
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


def contra_normuon(kappas, beta2, rows, columns):
    """The step of record 31: some of `ahead` off its polar factor, then rows or columns of one size in the long run."""
    seen = [0.0] * (rows if rows >= columns else columns)

    def step(t, ahead):
        plain = svd_map(ahead / (length(ahead) + 1e-7), lambda value: along(LONG, value))
        other = plain - kappas[t - 1] * ahead / slow_largest(ahead)
        other = other * length(plain) / length(other)
        lines = other if rows >= columns else other.T
        for i, line in enumerate(lines):
            seen[i] = beta2 * seen[i] + (1 - beta2) * float((line**2).mean())
        scaled = torch.stack([line / math.sqrt(size) for line, size in zip(lines, seen, strict=True)])
        scaled = scaled if rows >= columns else scaled.T
        return scaled * length(other) / length(scaled)

    return step


@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_with_contra_and_normuon_it_is_record_31(build, shape):
    w, lr = random(1, *shape), 0.05
    gradients = [random(1, *shape, seed=seed) for seed in range(1, 6)]
    shares, kappas = [0.0, 0.0, 0.2, 0.5, 1.0], [0.325, 0.2, 0.1, 0.05, 0.0]
    options = {"contra": 0.325, "polar": "long", "momentum": 0.946, "up": 1.5}
    rule, decay = rules(build, shape, beside={"normuon": {"beta2": 0.8}}, **options)
    state, rate = rule.init(w), torch.full((1, 1, 1), lr, dtype=torch.float64)
    step = contra_normuon(kappas, 0.8, *shape)
    wanted = slow_muown(w[0], [g[0] for g in gradients], shares, lr, end=1.5 * 2.496, mu=0.946, step=step)
    for n, g in enumerate(gradients):
        numbers = {DIAL: shares[n], KAPPA: kappas[n]}
        dials = at(n + 1, **{name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()})
        update = rule.direction(w, g, state, dials)
        w = w - decay.amount(w, update, rate, 0 * rate, dials) - rate * update
        torch.testing.assert_close(w[0], wanted[n], rtol=1e-6, atol=1e-6)


def test_the_long_polynomials_come_to_one_and_the_default_s_stay_around():
    for factors, near in ((LONG, 1e-3), (EXPRESS, 0.15)):
        values = [along(factors, x) for x in (0.01, 0.1, 0.5, 1.0)]
        assert max(abs(value - 1) for value in values) < near
    assert max(abs(along(EXPRESS, x) - 1) for x in (0.01, 0.1, 0.5, 1.0)) > 0.02


def test_contra_falls_to_nothing_and_lengths_differ_by_place(build):
    run = build(muown={"contra": 0.4, "contra_until": 0.5, "power": 0.9}, config={"tokens": 8 * 96})
    seen, shares = [], []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[KAPPA]))
        shares.append(float(run.dials.values[DIAL]))
    assert seen == pytest.approx([0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0])
    assert shares[3] == pytest.approx((2 / 7) ** 0.9)
    ends = {"up": 1.5, "out": 1.25, "down": 3.0}
    for path, factor in (("mlp.up", 1.5), ("attention.out", 1.25), ("mlp.down", 3.0), ("attention.q", 1.0)):
        rule, _ = rules(build, (4, 3), f"blocks.0.{path}.weight", **ends)
        got = rule.length(torch.ones(1, 4, 1), at(1, **{DIAL: torch.tensor(1.0)}))
        assert got.flatten().tolist() == pytest.approx([2.496 * factor] * 4)


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
