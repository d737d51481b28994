import pytest

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_with(source: int) -> type[SlowGPT]:
    class SlowLate(SlowGPT):
        def row(self, tokens):
            h, held = self.embed(tokens), None
            for layer in range(self.shape.depth):
                h = h + self.attention(self.norm(h if held is None else held), tokens, layer)
                h = h + self.mlp(self.norm(h), layer)
                if layer == source:
                    held = h
            return self.norm(h) @ self.p["head.out.weight"].T

    return SlowLate


@pytest.mark.parametrize(("options", "source"), [({}, 2), ({"layer": 0}, 0)])
def test_the_whole_model_equals_the_definition(build, options, source):
    assert_equals_slow_model(build(late_attn_single_source=options), slow_with(source))


@pytest.mark.parametrize(("depth", "late"), [(2, [1]), (4, [3]), (11, [8, 9, 10])])
def test_the_default_layers_are_the_records_in_proportion(build, depth, late):
    run = build(late_attn_single_source={}, shape={"depth": depth})
    connections = [getattr(block, "inner", block).attention.connection for block in run.model.blocks]
    assert [layer for layer, each in enumerate(connections) if type(each).__name__ == "Reading"] == late


@pytest.mark.parametrize("options", [{"layer": 3}, {"layer": 9}])
def test_a_layer_after_it_is_needed(build, options):
    with pytest.raises(PluginError, match=r"no layer is after layer \d of a model with 4 layers"):
        build(late_attn_single_source=options)
    with pytest.raises(PluginError, match="no layer is after a layer of a model with 1 layers"):
        build(late_attn_single_source={}, shape={"depth": 1})
