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


@pytest.mark.parametrize(("options", "source"), [({}, 1), ({"layer": 0}, 0)])
def test_the_whole_model_equals_the_definition(build, options, source):
    assert_equals_slow_model(build(late_attn_single_source=options), slow_with(source))


@pytest.mark.parametrize(("depth", "late"), [(3, [1, 2]), (4, [2, 3]), (11, [8, 9, 10])])
def test_the_default_layers_are_the_records_in_proportion(build, depth, late):
    run = build(late_attn_single_source={}, shape={"depth": depth})
    connections = [getattr(block, "inner", block).attention.connection for block in run.model.blocks]
    assert [layer for layer, each in enumerate(connections) if type(each).__name__ == "Reading"] == late


@pytest.mark.parametrize("options", [{"layer": 2}, {"layer": 9}])
def test_two_layers_after_it_are_needed_since_the_next_reads_it_anyway(build, options):
    with pytest.raises(PluginError, match=r"two layers must follow layer \d, and the model has 4"):
        build(late_attn_single_source=options)
    with pytest.raises(PluginError, match="two layers must follow a layer, and the model has 1"):
        build(late_attn_single_source={}, shape={"depth": 1})
