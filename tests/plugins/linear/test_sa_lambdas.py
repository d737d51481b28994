import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowLambdas(SlowGPT):
    """The four weights are replaced before anything reads them."""

    def attention(self, x, tokens, layer):
        own = dict(self.p)
        for name in ("q", "k", "v", "out"):
            path = f"blocks.{layer}.attention.{name}.weight"
            end = "writing" if name == "out" else "reading"
            self.p[path] = own[path] * own[f"shared.sa_lambdas.blocks.{layer}.{end}.value"]
        try:
            return super().attention(x, tokens, layer)
        finally:
            self.p = own


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(sa_lambdas={}), SlowLambdas)


def test_one_pair_of_numbers_per_layer(build):
    run = build(sa_lambdas={"reading": 0.25, "lr": 5})
    numbers = {path: float(value.detach()) for path, value in run.assembly.params.items() if "sa_lambdas" in path}
    assert sorted(numbers.values()) == [0.25] * 4 + [1.0] * 4
    assert {(run.assembly.rules[path].lr, run.assembly.rules[path].weight_decay) for path in numbers} == {(5, 0)}


def test_ones_are_the_plain_model_and_biases_are_not_scaled(build, batch):
    (tokens, _), plain, run = batch(), build(), build(sa_lambdas={"reading": 1})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    biased = build(sa_lambdas={}, linear_bias={})
    projection = biased.model.blocks[0].attention.inner.v
    with torch.no_grad():
        biased.assembly.params["blocks.0.attention.v.linear_bias"].fill_(3)
        assert torch.equal(projection(torch.zeros(1, 32)), torch.full((1, 32), 3.0))


def test_attentions_with_other_projections_are_refused(build):
    with pytest.raises(PluginError, match="'sa_lambdas' and 'mla'"):
        build(sa_lambdas={}, mla={})
