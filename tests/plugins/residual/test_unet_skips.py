import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowUnet(SlowGPT):
    """A stack of saved outputs, pushed in the first half and popped in the second."""

    def row(self, tokens):
        h, saved, depth = self.embed(tokens), [], self.shape.depth
        half = depth // 2
        for layer in range(depth):
            if layer >= depth - half:
                h = h + self.p[f"blocks.{layer}.unet_skip"] * saved.pop()
            h = self.connect(h, self.attention(self.norm(h), tokens, layer), layer, "attention")
            h = self.connect(h, self.mlp(self.norm(h), layer), layer, "mlp")
            if layer < half:
                saved.append(h)
        assert not saved
        return self.finish(self.norm(h) @ self.p["head.out.weight"].T)


class FirstInFirstOut(SlowUnet):
    def row(self, tokens):
        h, saved = self.embed(tokens), {}
        for layer in range(4):
            if layer >= 2:
                h = h + self.p[f"blocks.{layer}.unet_skip"] * saved[layer - 2]
            h = self.connect(h, self.attention(self.norm(h), tokens, layer), layer, "attention")
            saved[layer] = h = self.connect(h, self.mlp(self.norm(h), layer), layer, "mlp")
        return self.finish(self.norm(h) @ self.p["head.out.weight"].T)


@pytest.mark.parametrize("depth", [1, 2, 4, 5])
def test_the_whole_model_equals_the_definition(build, depth):
    assert_equals_slow_model(build(unet_skips={}, shape={"depth": depth}), SlowUnet)


def test_the_order_is_last_in_first_out(build):
    with pytest.raises(AssertionError):
        assert_equals_slow_model(build(unet_skips={}), FirstInFirstOut)


def test_weights_of_zero_give_the_plain_model(build, batch):
    tokens, _ = batch()
    zero, plain, one = (build(**plugins) for plugins in ({"unet_skips": {"init": 0}}, {}, {"unet_skips": {}}))
    wanted = plain.model.logits(tokens, plain.dials.values)
    assert torch.equal(zero.model.logits(tokens, zero.dials.values), wanted)
    assert not torch.allclose(one.model.logits(tokens, one.dials.values), wanted, atol=1e-3)


def test_one_scalar_per_connection_starts_at_init_and_is_not_decayed(build):
    run = build(unet_skips={"init": 0.7})
    added = [path for path in run.assembly.params if path.endswith("unet_skip")]
    assert added == ["blocks.2.unet_skip", "blocks.3.unet_skip"]
    for path in added:
        assert float(run.assembly.params[path].detach()) == pytest.approx(0.7)
        assert run.assembly.infos[path].role == "scalar"
        assert run.assembly.rules[path].weight_decay == 0


def test_bad_options_and_ngpt_are_refused(build):
    with pytest.raises(ConfigError, match=r"plugins\.unet_skips\.init"):
        build(unet_skips={"init": "one"})
    with pytest.raises(PluginError, match="'ngpt'"):
        build(unet_skips={}, ngpt={})
