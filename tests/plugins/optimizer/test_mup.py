import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

BASE = 8


class SlowMup(SlowGPT):
    def finish(self, logits):
        return logits / (self.shape.dim / BASE)  # the head is linear


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(mup={"base": BASE}), SlowMup)


def test_matrices_start_and_move_by_width(build):
    m = 32 / BASE
    run, plain = build(mup={"base": BASE}), build()
    for path, info in run.assembly.infos.items():
        rule, value, before = run.assembly.rules[path], run.assembly.params[path], plain.assembly.params[path]
        if info.role == "matrix":
            assert (rule.lr, rule.weight_decay) == (1 / m, m)
            torch.testing.assert_close(value, before / math.sqrt(m))
        else:
            assert (rule.lr, rule.weight_decay) == (1, 1)
            assert torch.equal(value, torch.zeros_like(value) if info.role == "head" else before)


@pytest.mark.parametrize("options", [{"base": 32, "zero_head": False}, {"base": "own", "zero_head": False}])
def test_at_its_base_nothing_changes(build, batch, options):
    tokens, _ = batch()
    run, plain = build(mup=options), build()
    assert torch.equal(run.model.logits(tokens, {}), plain.model.logits(tokens, {}))
    assert all(rule == plain.assembly.rules[path] for path, rule in run.assembly.rules.items())


def test_hidden_states_do_not_grow_with_width_as_they_do_without(build, batch):
    """The coordinate check: how far five Adam steps move the last hidden state, at four times the width."""

    def moved(width, **plugins):
        run = build(shape={"dim": width, "heads": 2, "depth": 2}, **plugins)
        tokens, targets = batch()
        hidden = []
        run.model.final_norm.register_forward_pre_hook(lambda module, given: hidden.append(given[0].detach()))
        for _ in range(6):
            run.model(tokens, targets, {})[0].backward()
            run.optimizer.step(1.0, {})
        return float((hidden[-1] - hidden[0]).abs().mean())

    with_, without = (moved(256, **p) / moved(64, **p) for p in ({"mup": {"base": 64}}, {}))
    assert with_ < 2 < without


@pytest.mark.parametrize("other", ["muon", "ngpt"])
def test_what_has_a_scale_of_its_own_is_refused(build, other):
    with pytest.raises(PluginError, match=f"'{other}'"):
        build(mup={}, **{other: {}})


def test_a_tied_head_cannot_start_at_zero(build, batch):
    with pytest.raises(PluginError, match=r"mup: 'zero_head' needs a head of its own, but model.tied is true"):
        build(shape={"tied": True}, mup={"base": BASE})
    tokens, _ = batch()
    run = build(shape={"tied": True}, mup={"base": BASE, "zero_head": False})
    plain = build(shape={"tied": True}, mup={"base": "own", "zero_head": False})
    assert torch.equal(run.model.head(tokens.new_ones(1, 1, 32).float()) * 4, plain.model.head(torch.ones(1, 1, 32)))


def test_its_neutral_setting_can_be_said_in_yaml(catalogue):
    """`null` removes a key of a study file; the law about `neutral` reads no file."""
    assert None not in catalogue.cls("mup").neutral.values()
