"""References for rules that move matrices, slow and in float64, and what their tests need to call a rule."""

import math

import torch

from coregpt.contract.rules import ParamGroup

NS12 = [(2.0, -1.5, 0.5)] * 12
QUINTIC = [(3.4445, -4.7750, 2.0315)] * 5


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rule_of(build, shape=(6, 4), members=1, role="matrix", **plugins):
    """The rule of one group of `members` parameters of this shape, with these techniques."""
    paths = tuple(f"blocks.{i}.mlp.up.weight" for i in range(members))
    return build(**plugins).assembly.hook.make_update(group=ParamGroup(role, shape, paths))


def at(step, members=1, **dials):
    return {"step": step, "rows": torch.arange(members), **dials}


def directions(rule, gradients, weights=None, **dials):
    """Copies of the updates of a stream of stacks (n, ..., r, c), and the last state. `dials`: one value per step."""
    p = torch.zeros_like(gradients[0]) if weights is None else weights
    state, found = rule.init(p), []
    for i, g in enumerate(gradients):
        now = {name: torch.tensor(values[i], dtype=torch.float64) for name, values in dials.items()}
        found.append(rule.direction(p, g, state, at(i + 1, len(p), **now)).clone())
    return found, state


def svd_map(g, function):
    """The matrix with the singular vectors of g and `function` of its singular values."""
    u, s, v_t = torch.linalg.svd(g, full_matrices=False)
    out = torch.zeros_like(g)
    for i, value in enumerate(s.tolist()):
        out += function(value) * torch.outer(u[:, i], v_t[i])
    return out


def along(factors, x):
    """The polynomials of Newton and Schulz on one singular value."""
    for a, b, c in factors:
        x = a * x + b * x**3 + c * x**5
    return x


def length(x):
    return math.sqrt(sum(value**2 for value in x.flatten().tolist()))


def schatten(x):
    """Fourth root of the sum of fourth powers of singular values."""
    return sum(value**4 for value in torch.linalg.svdvals(x).tolist()) ** 0.25


def slow_polar(g, factors=NS12):
    size = length(g) + 1e-7
    return svd_map(g, lambda value: along(factors, value / size))


def slow_muon(gradients, mu=0.95):
    """The matrices that Muon orthogonalises, Nesterov's, step by step."""
    m, found = torch.zeros_like(gradients[0]), []
    for g in gradients:
        m = mu * m + (1 - mu) * g
        found.append((1 - mu) * g + mu * m)
    return found


def slow_largest(u):
    """Power iterations on u^T u, number by number."""
    v = [1 / math.sqrt(u.shape[1])] * u.shape[1]
    for _ in range(5):
        w = [sum(float(a) * b for a, b in zip(row, v, strict=True)) for row in u]
        v = [sum(float(u[i, j]) * w[i] for i in range(len(w))) for j in range(len(v))]
        size = math.sqrt(sum(x * x for x in v))
        v = [x / size for x in v]
    return math.sqrt(sum(sum(float(a) * b for a, b in zip(row, v, strict=True)) ** 2 for row in u))
