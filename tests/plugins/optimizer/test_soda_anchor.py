import math

import pytest
import torch

from coregpt.contract.rules import Clock


def test_matrices_are_pulled_by_the_definition_and_nothing_else(build):
    run = build(muon={}, soda_anchor={"start": 4, "end": 8})
    (companion,) = run.companions
    initial = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(10):
        for p in run.assembly.params.values():
            p.data.add_(torch.randn(p.shape, generator=generator))
        before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
        companion.before_update(Clock(step, 10))
        f = 1.0 if step <= 4 else 0.0 if step >= 8 else (1 + math.cos(math.pi * (step - 4) / 4)) / 2
        for path, p in run.assembly.params.items():
            a = f / (step + 2) if run.assembly.infos[path].role == "matrix" else 0.0
            wanted = (1 - a) * before[path] + a * initial[path]
            torch.testing.assert_close(p.detach().double(), wanted, rtol=0, atol=1e-5, msg=path)


def test_without_moves_it_does_nothing(build):
    run = build(soda_anchor={})
    (companion,) = run.companions
    before = {path: p.detach().clone() for path, p in run.assembly.params.items()}
    for step in range(4):
        companion.before_update(Clock(step, 10))
    for path, p in run.assembly.params.items():
        torch.testing.assert_close(p.detach(), before[path], rtol=0, atol=1e-7)


def test_a_pull_of_one_in_two_plus_s_keeps_the_mean_of_all_steps(build):
    """Steps of one, each after a pull to zero of 1 / (s + 2): W is half of the steps made."""
    run = build(soda_anchor={"start": 0.98, "end": 0.99})
    (companion,) = run.companions
    w = run.assembly.params["blocks.0.mlp.up.weight"]
    start = w.detach().clone()
    for step in range(20):
        companion.before_update(Clock(step, 100))
        w.data.add_(1.0)
    expected = 0.0
    for step in range(20):
        expected = expected * (1 - 1 / (step + 2)) + 1
    assert float((w.detach() - start).mean()) == pytest.approx(expected, rel=1e-4)
