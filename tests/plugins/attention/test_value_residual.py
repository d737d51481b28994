import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowValueResidual(SlowGPT):
    """The first layer's values of each head are kept for the others of the row."""

    def row(self, tokens):
        self.first = {}
        return super().row(tokens)

    def values(self, v, x, tokens, layer, head):
        if layer == 0:
            self.first[head] = v
            return v
        share = self.layer(layer, "attention.attend.value_residual")
        return (1 - share) * v + share * self.first[head]


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(value_residual={}), SlowValueResidual)


def test_a_share_of_zero_is_the_plain_model(build, batch):
    (tokens, _), plain, run = batch(), build(), build(value_residual={"init": 0})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)


def test_a_first_layer_without_attention_is_passed_over(build, batch):
    run = build(value_residual={"lr": 20}, drop_layers={"attention": (0,)})
    shares = [path for path in run.assembly.params if path.endswith("value_residual")]
    assert shares == [f"blocks.{layer}.attention.attend.value_residual" for layer in (2, 3)]
    assert all((run.assembly.rules[path].lr, run.assembly.rules[path].weight_decay) == (20, 0) for path in shares)
    assert float(run.assembly.params[shares[0]].detach()) == 0.5
    tokens, _ = batch()
    assert torch.isfinite(run.model.logits(tokens, run.dials.values)).all()


def test_value_embeddings_are_refused(build):
    with pytest.raises(PluginError, match="'value_residual' and 'value_embeddings'"):
        build(value_residual={}, value_embeddings={})
