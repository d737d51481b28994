import pytest

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_with(attention: tuple[int, ...], mlp: tuple[int, ...]) -> type[SlowGPT]:
    class SlowDropped(SlowGPT):
        def row(self, tokens):
            h = self.embed(tokens)
            for layer in range(self.shape.depth):
                if layer not in attention:
                    h = h + self.attention(self.norm(h), tokens, layer)
                if layer not in mlp:
                    h = h + self.mlp(self.norm(h), layer)
            return self.norm(h) @ self.p["head.out.weight"].T

    return SlowDropped


@pytest.mark.parametrize(
    ("options", "attention", "mlp"),
    [({}, (2,), ()), ({"attention": (), "mlp": (0,)}, (), (0,)), ({"attention": (1, 3), "mlp": (1,)}, (1, 3), (1,))],
)
def test_the_whole_model_equals_the_definition(build, options, attention, mlp):
    run = build(drop_layers=options)
    kinds = {(layer, kind) for layer in range(4) for kind in ("attention", "mlp")}
    there = {(int(path.split(".")[1]), path.split(".")[2]) for path in run.assembly.params if path.startswith("blocks")}
    assert kinds - there == {(layer, "attention") for layer in attention} | {(layer, "mlp") for layer in mlp}
    assert_equals_slow_model(run, slow_with(attention, mlp))


def test_what_is_left_starts_as_in_the_plain_model(build):
    run, plain = build(drop_layers={}), build()
    assert all((value == plain.assembly.params[path]).all() for path, value in run.assembly.params.items())


def test_the_default_is_the_records_layer(build):
    params = build(drop_layers={}, shape={"depth": 12}).assembly.params
    assert [layer for layer in range(12) if f"blocks.{layer}.attention.q.weight" not in params] == [7]


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(drop_layers={"mlp": (4,)})
    with pytest.raises(PluginError, match=r"'drop_layers' and 'moe'|'moe' and 'drop_layers'"):
        build(drop_layers={"mlp": (1, 3)}, moe={})
