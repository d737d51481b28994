import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_with(first: int) -> type[SlowGPT]:
    class SlowLanes(SlowGPT):
        def row(self, tokens):
            lanes = [self.embed(tokens)] * 2
            for layer in range(self.shape.depth):
                for lane, kind in enumerate(("attention", "mlp")):
                    x = self.norm(lanes[lane])
                    y = self.attention(x, tokens, layer) if kind == "attention" else self.mlp(x, layer)
                    lanes = [h + self.share(layer, kind, j) * y for j, h in enumerate(lanes)]
                assert layer >= first or torch.equal(*lanes)
            return self.norm((lanes[0] + lanes[1]) / 2) @ self.p["head.out.weight"].T

        def share(self, layer, kind, lane):
            path = f"blocks.{layer}.{kind}.connection.lane_share_{lane}"
            return self.p[path] if layer >= first else 1.0

    return SlowLanes


@pytest.mark.parametrize(("options", "first"), [({}, 2), ({"first": 0}, 0), ({"first": 3}, 3)])
def test_the_whole_model_equals_the_definition(build, options, first):
    assert_equals_slow_model(build(partitioned_hc=options), slow_with(first))


def test_shares_of_one_are_the_plain_model(build, batch):
    (tokens, _), plain, run = batch(), build(), build(partitioned_hc={"cross": 1})
    got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def test_how_it_starts(build):
    run = build(partitioned_hc={"lr": 3}, shape={"depth": 11})
    shares = {path: float(value.detach()) for path, value in run.assembly.params.items() if "lane_share_" in path}
    assert {path.split(".")[1] for path in shares} == {"7", "8", "9", "10"}
    crossing = {path for path, value in shares.items() if value == 1.5}
    assert crossing == {f"blocks.{layer}.attention.connection.lane_share_1" for layer in range(7, 11)}
    assert {value for path, value in shares.items() if path not in crossing} == {1.0}
    assert {(run.assembly.rules[path].lr, run.assembly.rules[path].weight_decay) for path in shares} == {(3, 0)}


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="first layer 4 of a model with 4 layers"):
        build(partitioned_hc={"first": 4})
    with pytest.raises(PluginError, match="'ngpt' and 'partitioned_hc'"):
        build(partitioned_hc={}, ngpt={})
    with pytest.raises(PluginError, match="'partitioned_hc' and 'unet_skips'"):
        build(partitioned_hc={}, unet_skips={})
