"""The yardstick against a float64 loop, and out of every plugin's reach."""

import math

import pytest
import torch

from coregpt.engine.training.evaluate import evaluate


def test_equals_a_float64_loop(build, batch) -> None:
    run = build(shape={"init_std": 0.3})
    x, y = batch(6)
    with torch.no_grad():
        logits = run.model.logits(x, run.dials.values).double()
    total = 0.0
    for row in range(6):
        for t in range(x.shape[1]):
            scores = logits[row, t] - logits[row, t].max()
            total -= (scores[y[row, t]] - scores.exp().sum().log()).item()
    got = evaluate(run.model, run.model.logits, x, y, run.dials.values, rows=4)
    assert got.item() == pytest.approx(total / y.numel(), abs=1e-6)


def test_uniform_logits_give_log_vocab(build, batch) -> None:
    run = build()
    value = evaluate(run.model, lambda x, dials: torch.zeros(*x.shape, 61), *batch(), run.dials.values, rows=3)
    assert value.item() == pytest.approx(math.log(61), abs=1e-6)


def test_training_losses_do_not_touch_it(build, batch) -> None:
    bare, other = build(), build(mtp={})
    x, y = batch()
    values = [evaluate(run.model, run.model.logits, x, y, run.dials.values, rows=4) for run in (bare, other)]
    assert values[0] == values[1]
    assert other.model(x, y, other.dials.values)[0] != bare.model(x, y, bare.dials.values)[0]


def test_runs_in_fp32_inside_autocast(build, batch) -> None:
    run = build(shape={"init_std": 0.3})
    x, y = batch()
    outside = evaluate(run.model, run.model.logits, x, y, run.dials.values, rows=4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = evaluate(run.model, run.model.logits, x, y, run.dials.values, rows=4)
    assert torch.equal(inside, outside)
