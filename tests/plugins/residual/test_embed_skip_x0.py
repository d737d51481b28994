import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowSkip(SlowGPT):
    def row(self, tokens):
        h = self.embed(tokens)
        first = rms_norm(h)
        for layer in range(self.shape.depth):
            h = self.layer(layer, "embed_skip_x0.keep") * h + self.layer(layer, "embed_skip_x0.share") * first
            h = h + self.attention(self.norm(h), tokens, layer)
            h = h + self.mlp(self.norm(h), layer)
        return self.norm(h) @ self.p["head.out.weight"].T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(embed_skip_x0={}), SlowSkip)


def test_it_starts_as_the_plain_model_and_learns_from_the_first_step(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(embed_skip_x0={})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    run.model(tokens, targets, run.dials.values)[0].backward()
    assert all(run.assembly.params[f"blocks.{layer}.embed_skip_x0.share"].grad for layer in range(4))


def test_numbers_their_rate_and_decay(build):
    run = build(embed_skip_x0={"keep": 0.9, "share": 0.2, "lr": 20})
    assert float(run.assembly.params["blocks.3.embed_skip_x0.keep"].detach()) == pytest.approx(0.9)
    assert float(run.assembly.params["blocks.3.embed_skip_x0.share"].detach()) == pytest.approx(0.2)
    rules = [rule for path, rule in run.assembly.rules.items() if ".embed_skip_x0." in path]
    assert len(rules) == 8
    assert {(rule.lr, rule.weight_decay) for rule in rules} == {(20, 0)}


def test_every_lane_of_a_wider_stream_gets_it(build, batch):
    """Hyper-connections as they start read one lane each: with equal lanes that is the plain model's stream."""
    tokens, _ = batch()
    options = {"keep": 0.7, "share": 0.3}
    one = build(embed_skip_x0=options, looped={"loops": 1})
    lanes = build(embed_skip_x0=options, hyper_connections={"dynamic": False})
    got, wanted = (run.model.logits(tokens, run.dials.values) for run in (lanes, one))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_ngpt_is_refused(build):
    with pytest.raises(PluginError, match="'embed_skip_x0' and 'ngpt'"):
        build(embed_skip_x0={}, ngpt={})
