from fractions import Fraction

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_mtp(*weights):
    class SlowMtp(SlowGPT):
        def loss(self, tokens, targets):
            logits = self.logits(tokens)
            rows, length = tokens.shape
            total = torch.zeros((), dtype=torch.float64)
            for b in range(rows):
                for t in range(length):
                    for k, weight in enumerate((1.0, *weights)):
                        if t + k < length:
                            chance = torch.softmax(logits[b, t], 0)[targets[b, t + k]]
                            total = total - weight * torch.log(chance)
            return total / (rows * length)

    return SlowMtp


def test_the_whole_model_equals_the_definition_at_every_stage(build):
    assert_equals_slow_model(build(mtp={}), slow_mtp(0.5, 0.25))
    for step, weights in ((2, (0.5, 0.25 / 3)), (4, (0.5 * 3 / 4, 0)), (8, (0, 0))):
        run = build(mtp={})
        run.dials.set(Clock(step, 10))
        assert_equals_slow_model(run, slow_mtp(*weights))


def test_six_tokens_by_hand(build):
    """Uniform logits over 61 ids: every term is log 61, and the row's end has fewer of them."""
    run = build(mtp={"weights": [0.5, 0.25]})
    targets = torch.arange(6).view(1, 6)
    context = type("C", (), {"dials": run.dials.values, "metrics": {}})()
    loss = run.model.loss(torch.zeros(1, 6, 61), targets, context)
    wanted = torch.log(torch.tensor(61.0)) * (6 + 0.5 * 5 + 0.25 * 4) / 6
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(context.metrics["next_token_loss"], torch.log(torch.tensor(61.0)))


def exact(step, steps, weights, share):
    stages = len(weights) + 1
    ends = [round(share * steps * i / stages) for i in range(stages + 1)]
    values = []
    for k, weight in enumerate(weights, 1):
        start, end = ends[stages - 1 - k], ends[stages - k]
        left = Fraction(1) if step < start else Fraction(0) if step >= end else Fraction(end - step, end - start)
        values.append(float(weight * left))
    return values


@pytest.mark.parametrize(
    ("weights", "share", "steps"),
    [((0.5, 0.25), 1.0, 90), ((0.5, 0.25), 0.25, 101), ((1.0,), 1.0, 7), ((1, 1, 1), 1, 3)],
)
def test_every_step_of_the_schedule(build, weights, share, steps):
    schedules = build(mtp={"weights": weights, "share": share}).dials.schedules
    for step in range(steps + 1):
        got = [schedules[f"mtp.{k}"](Clock(step, steps)) for k in range(1, len(weights) + 1)]
        assert got == pytest.approx(exact(step, steps, weights, share), abs=1e-12)


def test_the_stages_read_as_published(build):
    schedules = build(mtp={}).dials.schedules
    at = {step: [schedules[f"mtp.{k}"](Clock(step, 90)) for k in (1, 2)] for step in (0, 15, 30, 45, 60, 89)}
    wanted = {0: [0.5, 0.25], 15: [0.5, 0.125], 30: [0.5, 0], 45: [0.25, 0], 60: [0, 0], 89: [0, 0]}
    assert at == wanted


def test_no_weight_left_is_the_plain_loss(build, batch):
    tokens, targets = batch()
    run, plain = build(mtp={}), build()
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    loss, logged = run.model(tokens, targets, run.dials.values)
    wanted, _ = plain.model(tokens, targets, plain.dials.values)
    torch.testing.assert_close(loss, wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(logged["next_token_loss"], wanted.detach(), rtol=1e-6, atol=0)


def test_the_weighted_loss_is_larger_and_evaluation_does_not_see_it(build, batch):
    tokens, targets = batch()
    run, plain = build(mtp={}), build()
    loss, logged = run.model(tokens, targets, run.dials.values)
    wanted, _ = plain.model(tokens, targets, plain.dials.values)
    assert float(loss) > 1.5 * float(wanted)
    assert float(logged["next_token_loss"]) == pytest.approx(float(wanted), rel=1e-6)
    assert torch.equal(run.model.logits(tokens, run.dials.values), plain.model.logits(tokens, plain.dials.values))


@pytest.mark.parametrize(
    ("options", "message"), [({"weights": [-1]}, r"plugins\.mtp\.weights"), ({"share": 0}, r"plugins\.mtp\.share")]
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(mtp=options)


def test_more_tokens_ahead_than_a_row_holds_are_refused(build):
    with pytest.raises(PluginError, match="24 tokens ahead do not fit in a context of 24"):
        build(mtp={"weights": [0.1] * 24})
