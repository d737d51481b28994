import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

SHARE = "final_norm.smear_share"


class SlowSmear(SlowGPT):
    def row(self, tokens):
        h = self.embed(tokens)
        for layer in range(self.shape.depth):
            h = h + self.attention(self.norm(h), tokens, layer)
            h = h + self.mlp(self.norm(h), layer)
        rows = [h[t] + (self.p[SHARE] * h[t - 1] if t else 0) for t in range(len(tokens))]
        return self.norm(torch.stack(rows)) @ self.p["head.out.weight"].T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(smear_before_head={}), SlowSmear)


def test_it_starts_as_the_plain_model_and_learns_from_the_first_step(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(smear_before_head={"lr": 5})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    run.model(tokens, targets, run.dials.values)[0].backward()
    assert run.assembly.params[SHARE].grad
    assert (run.assembly.rules[SHARE].lr, run.assembly.rules[SHARE].weight_decay) == (5, 0)


def test_ngpt_is_refused(build):
    with pytest.raises(PluginError, match="'smear_before_head' and 'ngpt'"):
        build(smear_before_head={}, ngpt={})
