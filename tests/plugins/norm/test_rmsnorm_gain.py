import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm

PLACES = {"blocks.0.attention.pre", "blocks.0.mlp.pre", "blocks.1.attention.pre", "blocks.1.mlp.pre", "final_norm"}


class SlowGains(SlowGPT):
    """The norms of a row come in the order of the sites."""

    def row(self, tokens):
        h = self.embed(tokens)
        for layer in range(self.shape.depth):
            gain = self.layer(layer, "attention.pre.norm_gain")
            h = h + self.attention(rms_norm(h) * gain, tokens, layer)
            h = h + self.mlp(rms_norm(h) * self.layer(layer, "mlp.pre.norm_gain"), layer)
        return rms_norm(h) * self.p["final_norm.norm_gain"] @ self.p["head.out.weight"].T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(rmsnorm_gain={}, shape={"depth": 2}), SlowGains)


def test_it_starts_as_the_plain_model_to_the_bit(build, batch):
    (tokens, _), plain, run = batch(), build(), build(rmsnorm_gain={})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)


def test_where_gains_are_and_that_they_do_not_decay(build):
    run = build(rmsnorm_gain={}, shape={"depth": 2})
    gains = {path: rule for path, rule in run.assembly.rules.items() if path.endswith("norm_gain")}
    assert {path.rpartition(".")[0] for path in gains} == PLACES
    assert all(rule.weight_decay == 0 for rule in gains.values())
    assert {run.assembly.infos[path].role for path in gains} == {"scalar"}


def test_norms_of_others_get_one_and_places_without_a_norm_get_none(build):
    shape = {"depth": 1}
    with_entry = build(rmsnorm_gain={}, norm_after_embed={}, shape=shape).assembly.params
    with_post = build(rmsnorm_gain={}, sandwich_norm={}, shape=shape).assembly.params
    with_positions = build(rmsnorm_gain={}, learned_positions={}, rope={}, shape=shape).assembly.params
    assert "entry_norm.norm_gain" in with_entry
    assert "blocks.0.mlp.post.norm_gain" in with_post
    assert "entry_norm.norm_gain" not in with_positions


def test_layernorm_and_ngpt_are_refused(build):
    for other in ("layernorm", "ngpt"):
        with pytest.raises(PluginError, match=f"'{other}'"):
            build(rmsnorm_gain={}, **{other: {}})


def test_they_decay_where_that_is_wanted(build):
    run = build(rmsnorm_gain={"decay": True})
    assert all(run.assembly.rules[path].weight_decay == 1 for path in run.assembly.params if path.endswith("norm_gain"))
