import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import ParamGroup


def rule(build, shape, **options):
    return build(normuon=options, muon={}).assembly.hook.make_update(group=ParamGroup("matrix", shape, ("w",)))


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow(update, v, beta2, per_row):
    """One matrix, entry by entry; `v` is a list with one number per row or per column, changed in place."""
    rows, columns = update.shape
    u0 = update.tolist()
    for i in range(len(v)):
        line = u0[i] if per_row else [u0[row][i] for row in range(rows)]
        v[i] = beta2 * v[i] + (1 - beta2) * sum(x * x for x in line) / len(line)
    u1 = [[u0[r][c] / math.sqrt(max(v[r if per_row else c], 1e-10)) for c in range(columns)] for r in range(rows)]
    size0, size1 = (math.sqrt(sum(x * x for line in u for x in line)) for u in (u0, u1))
    return torch.tensor([[x * size0 / max(size1, 1e-10) for x in line] for line in u1], dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "axis", "per_row"),
    [
        ((6, 4), "short", True),
        ((5, 5), "short", True),
        ((4, 6), "short", False),
        ((4, 6), "row", True),
        ((6, 4), "row", True),
    ],
)
def test_three_steps_equal_the_definition(build, shape, axis, per_row):
    wrapped, plain = rule(build, shape, axis=axis, beta2=0.9), rule(build, shape, beta2=1)
    p = torch.zeros(1, *shape, dtype=torch.float64)
    state, inner, v = wrapped.init(p), plain.init(p), [0.0] * shape[0 if per_row else 1]
    for step in range(1, 4):
        g = random(1, *shape, seed=step)
        got = wrapped.direction(p, g, state, {"step": step})[0]
        wanted = slow(plain.direction(p, g, inner, {"step": step})[0], v, 0.9, per_row)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_experts_are_normalised_one_by_one(build):
    shape = (2, 3, 5, 4)
    wrapped, plain = rule(build, shape[1:]), rule(build, shape[1:], beta2=1)
    p, g = torch.zeros(shape, dtype=torch.float64), random(*shape)
    state = wrapped.init(p)
    assert state["normuon_v"].shape == (2, 3, 5, 1)
    got, u0 = wrapped.direction(p, g, state, {}), plain.direction(p, g, plain.init(p), {})
    for n in range(2):
        for e in range(3):
            torch.testing.assert_close(got[n, e], slow(u0[n, e], [0.0] * 5, 0.95, True), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)])
def test_the_size_of_the_whole_update_stays(build, shape):
    wrapped, plain = rule(build, shape), rule(build, shape, beta2=1)
    g = random(3, *shape).float() * torch.rand(40, 1)[: shape[0]]
    got, u0 = (r.direction(g, g, r.init(g), {}) for r in (wrapped, plain))
    torch.testing.assert_close(got.norm(dim=(1, 2)), u0.norm(dim=(1, 2)), rtol=1e-5, atol=0)
    assert not torch.allclose(got, u0, rtol=1e-2)


def test_without_memory_all_rows_of_a_tall_matrix_are_equally_large(build):
    r = rule(build, (40, 8), beta2=0)
    g = random(1, 40, 8) * torch.linspace(0.1, 3, 40).double()[:, None]
    sizes = r.direction(g, g, r.init(g), {})[0].norm(dim=1)
    torch.testing.assert_close(sizes, sizes[:1].expand(40), rtol=1e-9, atol=0)


def test_beta2_of_one_leaves_the_inner_rule_exactly_as_it_is(build, batch):
    weights = []
    for plugins in ({"muon": {}}, {"muon": {}, "normuon": {"beta2": 1.0}}):
        run = build(**plugins)
        for seed in range(3):
            tokens, targets = batch(seed=seed)
            run.model(tokens, targets, run.dials.values)[0].backward()
            run.optimizer.step(1.0, run.dials.values)
        weights.append(run.assembly.params)
    assert all(torch.equal(weights[0][path], weights[1][path]) for path in weights[0])


def test_a_step_of_the_whole_model_equals_the_definition(build, batch):
    plain, wrapped = build(muon={}), build(muon={}, normuon={})
    moves = []
    for run in (plain, wrapped):
        tokens, targets = batch()
        start = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(1.0, run.dials.values)
        moves.append({path: p.detach().double() - start[path] for path, p in run.assembly.params.items()})
    for path, move in moves[0].items():
        wanted = move
        if path.startswith("blocks."):
            rows, columns = move.shape
            per_row = rows >= columns
            wanted = 0.02 * slow(move / 0.02, [0.0] * (rows if per_row else columns), 0.95, per_row)
        torch.testing.assert_close(moves[1][path], wanted, rtol=1e-3, atol=1e-5, msg=path)


def test_it_wraps_whatever_moves_matrices_and_nothing_else(build):
    hook = build(normuon={}).assembly.hook
    assert type(hook.make_update(group=ParamGroup("matrix", (4, 4), ("w",))).inner).__name__ == "AdamW"
    assert type(hook.make_update(group=ParamGroup("head", (4, 4), ("w",)))).__name__ == "AdamW"
    assert rule(build, (4, 4)).lr == 0.02


def test_a_zero_update_stays_zero_and_finite(build):
    r = rule(build, (4, 4))
    p = torch.zeros(2, 4, 4)
    assert torch.equal(r.direction(p, p, r.init(p), {}), p)


@pytest.mark.parametrize(
    ("options", "message"), [({"beta2": 1.5}, r"plugins\.normuon\.beta2"), ({"axis": "col"}, r"plugins\.normuon\.axis")]
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(normuon=options)
