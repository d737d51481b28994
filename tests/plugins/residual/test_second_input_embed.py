import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm

TABLE = "stack.second_input_embed.table"


class SlowSecond(SlowGPT):
    def row(self, tokens):
        h = self.embed(tokens)
        second = torch.stack([rms_norm(self.p[TABLE][token]) for token in tokens])
        for layer in range(self.shape.depth):
            h = h + self.layer(layer, "second_input_share") * second
            h = h + self.attention(self.norm(h), tokens, layer)
            h = h + self.mlp(self.norm(h), layer)
        return self.norm(h) @ self.p["head.out.weight"].T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(second_input_embed={}), SlowSecond)


def test_it_starts_as_the_plain_model_and_learns_from_the_first_step(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(second_input_embed={"lr": 75, "decay": 5})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    run.model(tokens, targets, run.dials.values)[0].backward()
    assert run.assembly.params["blocks.2.second_input_share"].grad
    rules, infos = run.assembly.rules, run.assembly.infos
    assert (rules[TABLE].lr, rules[TABLE].weight_decay, infos[TABLE].role) == (75, 5, "table")
    assert rules["blocks.2.second_input_share"].weight_decay == 0


def test_ngpt_is_refused(build):
    with pytest.raises(PluginError, match="'second_input_embed' and 'ngpt'"):
        build(second_input_embed={}, ngpt={})
