import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.randomness import Noise, uniform
from coregpt.contract.rules import ParamGroup

GROUP = ParamGroup("matrix", (4, 3), ("w",))


def rule(build, **options):
    return build(psgd_kron=options).assembly.hook.make_update(group=GROUP)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draws(step, shape, member, noise=None):
    """The two normal matrices of a step for one member of a group, by Box and Muller, number by number."""
    noise = noise or Noise.of(0, "psgd_kron/w")
    counter = torch.tensor([step * 2**32 + member])
    first, second = uniform(noise, counter, (1, 2, math.prod(shape)))[0].tolist()
    radii = [math.sqrt(-2 * math.log(1 - u)) for u in first]
    found = [[r * f(2 * math.pi * u) for r, u in zip(radii, second, strict=True)] for f in (math.cos, math.sin)]
    return torch.tensor(found, dtype=torch.float64).view(2, *shape)


def at(step, members=2):
    return {"step": step, "rows": torch.arange(members)}


def length(x):
    return math.sqrt(sum(value**2 for value in x.flatten().tolist()))


def slow_largest(x):
    """One and a half power iterations from the longest column."""
    start = max(x.T, key=length)
    ahead = x @ start
    return length(x @ ahead) / length(ahead)


def upper(x):
    return torch.stack(
        [torch.stack([x[i, j] if j >= i else x[i, j] * 0 for j in range(len(x))]) for i in range(len(x))]
    )


def slow_psgd(gradients, member=0, beta=0.95, rate=1.0, noise=None):
    """(update, Q0, Q1) of every step of one matrix, with inverses instead of triangular solves."""
    rows, columns = gradients[0].shape
    fourth = sum(value**4 for value in gradients[0].flatten().tolist()) / (rows * columns)
    q0, q1 = (torch.eye(n, dtype=torch.float64) * max(fourth, 1e-24) ** (-1 / 32) for n in (rows, columns))
    m, seen = torch.zeros(rows, columns, dtype=torch.float64), []
    for step, g in enumerate(gradients, start=1):
        m = beta * m + (1 - beta) * g
        u = m / (1 - beta**step)
        z, shakes = draws(step, g.shape, member, noise)
        shaken = u + 1.1920928955078125e-07 * u.abs() * shakes
        balance = math.sqrt(float(q1.abs().max() / q0.abs().max()))
        q0, q1 = q0 * balance, q1 / balance
        a = q0 @ shaken @ q1.T
        b = torch.linalg.inv(q0).T @ z @ torch.linalg.inv(q1)
        step0 = upper(a @ a.T - b @ b.T) @ q0 * rate / slow_largest(a @ a.T + b @ b.T)
        step1 = upper(a.T @ a - b.T @ b) @ q1 * rate / slow_largest(a.T @ a + b.T @ b)
        q0, q1 = q0 - step0, q1 - step1
        seen.append((q0.T @ q0 @ u @ q1.T @ q1, q0, q1))
    return seen


@pytest.mark.parametrize("options", [{}, {"beta": 0.5, "rate": 0.1}, {"beta": 0.0}])
@pytest.mark.parametrize("shape", [(4, 3), (3, 5)])
def test_every_update_equals_the_definition(build, options, shape):
    r = rule(build, sphere=False, **options)
    gradients = [random(2, *shape, seed=seed) * 1e-3 for seed in range(12)]
    slow = [slow_psgd([g[member] for g in gradients], member, **options) for member in range(2)]
    state = r.init(gradients[0])
    for i, g in enumerate(gradients):
        got = r.direction(g, g, state, at(i + 1))
        for member in range(2):
            wanted, q0, q1 = slow[member][i]
            torch.testing.assert_close(got[member], wanted, rtol=1e-8, atol=1e-9)
            torch.testing.assert_close(state["q0"][member], q0, rtol=1e-8, atol=1e-9)
            torch.testing.assert_close(state["q1"][member], q1, rtol=1e-8, atol=1e-9)


def test_factors_stay_triangular_with_a_positive_diagonal(build):
    r = rule(build)
    state = r.init(torch.zeros(2, 6, 4))
    for step in range(1, 200):
        g = random(2, 6, 4, seed=step).float() * 10 ** (step % 3 - 4)
        r.direction(g, g, state, at(step))
    for q in (state["q0"], state["q1"]):
        assert torch.equal(q, q.triu())
        assert (q.diagonal(dim1=-2, dim2=-1) > 0).all()


def test_it_evens_out_rows_of_very_different_size(build):
    """Rows with variances 1 to 100: preconditioned rows differ by less than ten within 200 steps."""
    r, sizes = rule(build, sphere=False, beta=0.0), torch.linspace(1, 100, 12, dtype=torch.float64).sqrt()
    state, late = r.init(torch.zeros(1, 12, 12, dtype=torch.float64)), []
    for step in range(1, 301):
        g = sizes[:, None] * random(1, 12, 12, seed=step)
        got = r.direction(g, g, state, at(step, 1))
        late += [got] if step > 200 else []
    variances = torch.stack(late).square().mean((0, 1, 3))
    assert float(variances.max() / variances.min()) < 10


def test_a_step_on_the_sphere_keeps_the_norm_and_turns_by_the_rate(build, batch):
    run = build(psgd_kron={"lr": 0.1})
    before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)[0].backward()
    slow = {}
    for group in (stack.group for stack in run.optimizer.stacks if stack.group.role == "matrix"):
        noise = Noise.of(run.config.seed, f"psgd_kron/{group.paths[0]}")
        for member, path in enumerate(group.paths):
            gradient = run.assembly.params[path].grad.double() / clip(run)
            slow[path] = slow_psgd([gradient], member, noise=noise)[0][0]
    run.optimizer.step(1.0, run.dials.values)
    assert len(slow) == 4 * 6
    for path, update in slow.items():
        old, new = before[path], run.assembly.params[path].detach().double()
        moved = old - 0.1 * length(old) * update / length(update)
        torch.testing.assert_close(new, moved * length(old) / length(moved), rtol=1e-3, atol=2e-5)
        assert length(new) == pytest.approx(length(old), rel=1e-6)


def clip(run):
    """What core divides gradients by."""
    total = math.sqrt(sum(float(p.grad.double().square().sum()) for p in run.assembly.params.values()))
    return max(1.0, total / run.config.optim.grad_clip)


def test_without_the_sphere_matrices_decay_as_usual(build):
    free = build(psgd_kron={"sphere": False, "weight_decay": 0.25}).assembly.hook
    assert type(free.make_decay(group=GROUP)).__name__ == "Decoupled"
    assert free.make_update(group=GROUP).weight_decay == 0.25
    bound = build(psgd_kron={}).assembly.hook
    assert type(bound.make_decay(group=GROUP)).__name__ == "BackToTheSphere"
    assert type(bound.make_decay(group=ParamGroup("head", (4, 3), ("w",)))).__name__ == "Decoupled"
    assert type(bound.make_update(group=ParamGroup("head", (4, 3), ("w",)))).__name__ == "AdamW"


def test_each_expert_of_a_stack_is_a_matrix_of_its_own(build):
    r, g = rule(build), random(2, 3, 4, 5)
    whole = r.direction(g, g, r.init(g), at(1))
    torch.testing.assert_close(whole.norm(dim=(-2, -1)), g.norm(dim=(-2, -1)))
    changed = g.clone()
    changed[1, 2] *= 3
    again = r.direction(g, changed, r.init(g), at(1))
    others = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert all(torch.equal(again[place], whole[place]) for place in others)
    assert not torch.equal(again[1, 2], whole[1, 2])


def test_a_matrix_without_gradient_stays(build):
    r, zeros, p = rule(build), torch.zeros(2, 4, 3), torch.ones(2, 4, 3)
    state = r.init(p)
    for step in range(1, 5):
        assert not r.direction(p, zeros, state, at(step)).any()
    assert all(torch.isfinite(value).all() for value in state.values())


def test_what_does_not_go_with_it_is_refused(build):
    with pytest.raises(PluginError, match="'psgd_kron' and 'zero_init' conflict"):
        build(psgd_kron={}, zero_init={})
    with pytest.raises(PluginError, match="claimed by 'muon' and 'psgd_kron'"):
        build(psgd_kron={}, muon={})


@pytest.mark.parametrize(
    ("options", "message"), [({"rate": 1.5}, r"plugins\.psgd_kron\.rate"), ({"beta": 1}, r"plugins\.psgd_kron\.beta")]
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(psgd_kron=options)
