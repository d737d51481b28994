import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_with(source: int) -> type[SlowGPT]:
    class SlowBackout(SlowGPT):
        def row(self, tokens):
            h, held = self.embed(tokens), None
            for layer in range(self.shape.depth):
                h = h + self.attention(self.norm(h), tokens, layer)
                h = h + self.mlp(self.norm(h), layer)
                held = h if layer == source else held
            return self.norm(h - self.p["stack.backout"] * held) @ self.p["head.out.weight"].T

    return SlowBackout


@pytest.mark.parametrize(("options", "source"), [({}, 2), ({"layer": 0}, 0)])
def test_the_whole_model_equals_the_definition(build, options, source):
    assert_equals_slow_model(build(backout=options), slow_with(source))


@pytest.mark.parametrize(("depth", "layer"), [(2, 0), (3, 1), (4, 2), (12, 8), (16, 11)])
def test_the_default_layer_is_the_records_in_proportion(build, depth, layer):
    run = build(backout={}, shape={"depth": depth})
    kinds = [type(block).__name__ for block in run.model.blocks]
    assert kinds == ["Behind" if each == layer else "Block" for each in range(depth)]


def test_a_share_of_zero_is_the_plain_model(build, batch):
    (tokens, _), plain, run = batch(), build(), build(backout={"init": 0, "lr": 5})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    assert (run.assembly.rules["stack.backout"].lr, run.assembly.rules["stack.backout"].weight_decay) == (5, 0)


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="needs at least 2 layers, got 1"):
        build(backout={}, shape={"depth": 1})
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(backout={"layer": 4})
    for other in ("looped", "mixture_of_depths", "ngpt"):
        with pytest.raises(PluginError, match=f"'{other}'"):
            build(backout={}, **{other: {}})
