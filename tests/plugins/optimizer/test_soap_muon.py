import math

import pytest
import torch

from tests.plugins.optimizer.slow import at, length, random, rule_of, schatten, slow_muon, slow_polar


def power_step(statistic, basis):
    quotients = [float(x @ statistic @ x) for x in basis.T]
    order = sorted(range(len(quotients)), key=lambda i: -quotients[i])
    columns = []
    for i in order:
        x = statistic @ basis[:, i]
        for y in columns:
            x = x - (x @ y) * y
        columns.append(x / length(x))
    return torch.stack(columns, dim=1), order


def clip(x, low, high):
    return min(max(x, low), high)


def cosine(x, y):
    return float((x * y).sum()) / (length(x) * length(y))


def slow_soap_muon(gradients, every, gate=None, beta=0.9):
    """Updates of one square matrix; `gate` (floor, cap) where there is one."""
    size = len(gradients[0])
    left = right = v = torch.zeros(size, size, dtype=torch.float64)
    ql = qr = torch.eye(size, dtype=torch.float64)
    found = []
    for step, (g, u) in enumerate(zip(gradients, slow_muon(gradients), strict=True)):
        p = u
        if step:
            inside = ql.T @ u @ qr
            v = beta * v + (1 - beta) * inside**2
            p = ql @ (inside / (v.sqrt() + 1e-8)) @ qr.T
            p = p * schatten(u) / schatten(p)
            if gate:
                t = clip((cosine(p, u) - 0.2) / 0.8, 0, 1) * clip(cosine(p, g) / cosine(u, g), 0, 1)
                p = u + clip(t, *gate) * (p - u)
                p = p * schatten(u) / schatten(p)
        found.append(slow_polar(p))
        left, right = beta * left + (1 - beta) * g @ g.T, beta * right + (1 - beta) * g.T @ g
        if step == 0:
            ql, qr = torch.linalg.svd(left)[0], torch.linalg.svd(right)[0]
        elif step % every == 0:
            ql, order = power_step(left, ql)
            v = v[order]
            qr, order = power_step(right, qr)
            v = v[:, order]
    return found


@pytest.mark.parametrize("every", [1, 3])
def test_steps_equal_the_definition(build, every):
    gradients = [random(1, 4, 4, seed=seed) for seed in range(8)]
    rule = rule_of(build, (4, 4), muon={"polar": "ns12"}, soap_muon={"every": every})
    state = rule.init(gradients[0])
    wanted = slow_soap_muon([g[0] for g in gradients], every)
    for step, g in enumerate(gradients):
        got = rule.direction(g, g, state, at(step + 1))[0]
        torch.testing.assert_close(got, wanted[step], rtol=1e-5, atol=1e-5)


def test_the_gate_holds_attention_s_outputs_back(build):
    run = build(muon={"polar": "ns12"}, soap_muon={"every": 1, "trust_gate": True})
    gated = next(s for s in run.optimizer.stacks if "blocks.0.attention.out.weight" in s.paths)
    row = gated.paths.index("blocks.0.attention.out.weight")
    other = gated.paths.index("blocks.0.attention.q.weight")
    dials = {"soap_muon.gate_floor": torch.tensor(0.3), "soap_muon.gate_cap": torch.tensor(0.7)}
    n, shape = len(gated.paths), gated.group.shape
    gradients = [random(1, *shape, seed=seed).expand(n, *shape).clone() for seed in range(4)]
    state = gated.rule.init(gradients[0])
    slow = {row: (0.3, 0.7), other: None}
    wanted = {m: slow_soap_muon([g[0] for g in gradients], 1, gate) for m, gate in slow.items()}
    for step, g in enumerate(gradients):
        got = gated.rule.direction(g, g, state, at(step + 1, n, **dials))
        for member in slow:
            torch.testing.assert_close(got[member], wanted[member][step], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(got[row], got[other], atol=1e-2)


def test_matrices_that_are_no_target_are_muon_s(build):
    plain, soap = build(muon={}), build(muon={}, soap_muon={"targets": ["mlp"]})
    for one, other in zip(plain.optimizer.stacks, soap.optimizer.stacks, strict=True):
        touched = any(".mlp." in path for path in one.paths)
        assert (type(other.rule).__name__ == "Preconditioned") == touched


def test_floor_and_cap_of_the_gate(build):
    run = build(muon={}, soap_muon={"trust_gate": True, "gate_from": 2, "gate_to": 6}, config={"tokens": 8 * 96})
    seen = []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append([float(run.dials.values[f"soap_muon.gate_{name}"]) for name in ("floor", "cap")])
    assert [low for low, _ in seen] == pytest.approx([0.45, 0.45, 0.45, 0.3375, 0.225, 0.1125, 0, 0])
    assert [high for _, high in seen] == pytest.approx([0.85] * 6 + [1, 1])


def test_zeros_stay_finite(build):
    zeros = torch.zeros(1, 4, 3)
    rule = rule_of(build, (4, 3), muon={}, soap_muon={"every": 1})
    state = rule.init(zeros)
    assert not any(rule.direction(zeros, zeros, state, at(step)).any() for step in (1, 2, 3))
    assert math.isfinite(sum(float(value.sum()) for value in state.values()))
