import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import ParamGroup

QUINTIC = [(3.4445, -4.7750, 2.0315)] * 5
NS12 = [(2.0, -1.5, 0.5)] * 12
TUNED = [
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
]
EXPRESS = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
]
LISTS = {"quintic": QUINTIC, "ns12": NS12, "tuned": TUNED, "polar_express": EXPRESS}


def along(factors, x):
    """The polynomials on one singular value."""
    for a, b, c in factors:
        x = a * x + b * x**3 + c * x**5
    return x


def slow_polar(g, polar, factors):
    """Through the SVD: every singular value takes the scalar polynomials, its directions stay."""
    u, s, vt = torch.linalg.svd(g, full_matrices=False)
    size = math.sqrt(sum(value**2 for value in s.tolist()))
    size = 1.02 * size + 1e-6 if polar == "polar_express" else size + 1e-7
    out = torch.zeros_like(g)
    for i, value in enumerate(s.tolist()):
        out += along(factors, value / size) * torch.outer(u[:, i], vt[i])
    return out


def rule(build, shape=(6, 4), **options):
    return build(muon=options).assembly.hook.make_update(group=ParamGroup("matrix", shape, ("w",)))


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_singular_values(values, rows, columns):
    u, v = (torch.linalg.qr(random(n, len(values), seed=n))[0] for n in (rows, columns))
    return u @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ v.T


def one(r, g):
    """Direction of a first update, one matrix or one stack entry."""
    p = torch.zeros_like(g)[None]
    return r.direction(p, g[None], r.init(p), {"step": 1})[0]


@pytest.mark.parametrize("polar", LISTS)
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_three_steps_equal_the_definition_through_the_svd(build, polar, nesterov, shape):
    r = rule(build, shape, polar=polar, nesterov=nesterov, momentum=0.9)
    p, m = torch.zeros(1, *shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    state = r.init(p)
    for step in range(1, 4):
        g = random(*shape, seed=step)
        got = r.direction(p, g[None], state, {"step": step})[0]
        m = 0.9 * m + 0.1 * g
        ahead = 0.9 * m + 0.1 * g if nesterov else m
        wanted = slow_polar(ahead, polar, LISTS[polar]) * math.sqrt(max(1.0, shape[0] / shape[1]))
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_fp32_stays_close_to_the_svd(build):
    g = random(48, 16)
    for polar, factors in LISTS.items():
        got = rule(build, polar=polar, momentum=0).polar(g.float())
        torch.testing.assert_close(got.double(), slow_polar(g, polar, factors), rtol=0, atol=1e-4)


def test_more_steps_repeat_the_last_polynomial_and_fewer_stop_early(build):
    g = random(5, 8)
    for steps, factors in ((2, EXPRESS[:2]), (8, EXPRESS + EXPRESS[-1:] * 3)):
        got = rule(build, polar="polar_express", steps=steps).polar(g)
        torch.testing.assert_close(got, slow_polar(g, "polar_express", factors), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("polar", "smallest", "low", "high"),
    [
        ("quintic", 0.01, 0.682, 1.135),
        ("quintic", 0.002, 0.682, 1.203),
        ("tuned", 0.01, 0.978, 1.032),
        ("tuned", 0.003, 0.978, 1.145),
        ("polar_express", 0.002, 0.859, 1.142),
        ("ns12", 0.001, 0.9999, 1.0001),
    ],
)
def test_singular_values_end_where_the_literature_says(build, polar, smallest, low, high):
    for seed in range(20):
        spread = smallest ** torch.rand(6, generator=torch.Generator().manual_seed(seed)).double()
        values = [v for v in (spread / spread.norm()).tolist() if v > smallest] + [smallest]
        reached = torch.linalg.svdvals(rule(build, polar=polar).polar(with_singular_values(values, 12, 9)))
        reached = reached[: len(values)]
        assert reached.min() > low - 2e-3
        assert reached.max() < high + 2e-3


def test_slope_at_zero(build):
    slopes = {"quintic": 484.9, "tuned": 492.7, "polar_express": 989.5, "ns12": 4096}
    for polar, slope in slopes.items():
        g = with_singular_values([1.0, 1e-9], 5, 4)
        small = torch.linalg.svdvals(rule(build, polar=polar).polar(g))[1]
        divided = 1.02 if polar == "polar_express" else 1
        assert float(small) / 1e-9 * divided == pytest.approx(slope, rel=1e-3)


def test_ns12_is_the_polar_factor(build):
    g = with_singular_values([1, 0.3, 0.05, 0.004], 7, 6)
    u, _, vt = torch.linalg.svd(g, full_matrices=False)
    wanted = u[:, :4] @ vt[:4]
    torch.testing.assert_close(rule(build, polar="ns12").polar(g), wanted, rtol=0, atol=1e-4)
    both = rule(build).polar(g).T @ g
    torch.testing.assert_close(both, both.T, rtol=0, atol=1e-6)
    assert torch.linalg.eigvalsh(both).min() > -1e-6


def test_size_of_the_gradient_does_not_matter_and_transposing_transposes(build):
    r, g = rule(build, momentum=0.5), random(6, 4)
    torch.testing.assert_close(one(r, g), one(r, 1000 * g), rtol=0, atol=1e-5)
    torch.testing.assert_close(one(r, g), math.sqrt(1.5) * one(r, g.T).T, rtol=0, atol=1e-9)


def test_the_update_has_frobenius_norm_root_of_rows(build):
    r = rule(build, polar="ns12")
    for shape in ((30, 10), (10, 30), (20, 20)):
        assert float(one(r, random(*shape)).norm()) == pytest.approx(math.sqrt(shape[0]), rel=1e-3)


def test_every_slice_of_a_deeper_stack_is_a_matrix_of_its_own(build):
    r, g = rule(build, (3, 5, 4)), random(2, 3, 5, 4)
    p = torch.zeros_like(g)
    whole = r.direction(p, g, r.init(p), {"step": 1})
    for n in range(2):
        for e in range(3):
            torch.testing.assert_close(whole[n, e], one(r, g[n, e]), rtol=0, atol=1e-12)
    g[1, 2] += 1
    moved = r.direction(p, g, r.init(p), {"step": 1}) != whole
    assert moved[1, 2].any()
    assert not moved[0].any()
    assert not moved[1, :2].any()


def test_zero_gradients_of_idle_experts_and_padding_give_zero(build):
    assert not one(rule(build), torch.zeros(3, 5, 4)).any()


def test_the_momentum_dial_wins(build):
    shape = (1, 6, 4)
    first, second = random(*shape, seed=1), random(*shape, seed=2)
    results = []
    for options, dials in (({"momentum": 0.5}, {}), ({"momentum": 0.9}, {"momentum": torch.tensor(0.5)})):
        r = rule(build, **options)
        state = r.init(first)
        r.direction(first, first, state, dials)
        results.append(r.direction(first, second, state, dials))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


def test_a_step_of_the_whole_model_equals_the_definition(build, batch):
    run = build(
        muon={"lr": 0.03, "weight_decay": 0.2, "momentum": 0.8},
        config={"optim": {"lr": 0.01, "weight_decay": 0.1, "grad_clip": 0.5}},
    )
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)[0].backward()
    before = {path: p.detach().double() for path, p in run.assembly.params.items()}
    grads = {path: p.grad.double() for path, p in run.assembly.params.items()}
    norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
    assert norm > 0.5
    run.optimizer.step(1.0, run.dials.values)
    for path, p in run.assembly.params.items():
        g = grads[path] * 0.5 / norm
        if path.startswith("blocks."):
            ahead = (1 - 0.8) * g + 0.8 * (1 - 0.8) * g
            update = slow_polar(ahead, "quintic", QUINTIC) * math.sqrt(max(1, g.shape[0] / g.shape[1]))
            wanted = before[path] * (1 - 0.03 * 0.2) - 0.03 * update
        else:
            wanted = before[path] * (1 - 0.01 * 0.1) - 0.01 * g / (g.abs() + 1e-8)
        torch.testing.assert_close(p.detach().double(), wanted, rtol=0, atol=2e-5, msg=path)


def test_only_matrices_are_claimed(build):
    hook = build(muon={}).assembly.hook
    for role, shape in (("embedding", (61, 32)), ("head", (61, 32)), ("gate", (3, 32)), ("scalar", (32,))):
        assert type(hook.make_update(group=ParamGroup(role, shape, ("w",)))).__name__ == "AdamW"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1}, r"plugins\.muon\.momentum"),
        ({"lr": 0}, r"plugins\.muon\.lr"),
        ({"polar": "svd"}, r"plugins\.muon\.polar"),
        ({"steps": 0}, r"plugins\.muon\.steps"),
        ({"momentun": 0.9}, "did you mean 'momentum'"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(muon=options)
