import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_with(bias: bool, eps: float) -> type[SlowGPT]:
    class SlowLayerNorm(SlowGPT):
        def norm_at(self, x, site):
            mean = x.sum(-1, keepdim=True) / x.shape[-1]
            variance = ((x - mean) ** 2).sum(-1, keepdim=True) / x.shape[-1]
            y = self.p[f"{site}.layernorm.gain"] * (x - mean) / torch.sqrt(variance + eps)
            return y + self.p[f"{site}.layernorm.bias"] if bias else y

        def row(self, tokens):
            h = self.embed(tokens)
            for layer in range(self.shape.depth):
                h = h + self.attention(self.norm_at(h, f"blocks.{layer}.attention.pre"), tokens, layer)
                h = h + self.mlp(self.norm_at(h, f"blocks.{layer}.mlp.pre"), layer)
            return self.norm_at(h, "final_norm") @ self.p["head.out.weight"].T

    return SlowLayerNorm


@pytest.mark.parametrize(("bias", "eps"), [(True, 1e-5), (False, 0.1)])
def test_the_whole_model_equals_the_definition(build, bias, eps):
    run = build(layernorm={"bias": bias, "eps": eps}, shape={"depth": 2})
    assert_equals_slow_model(run, slow_with(bias, eps))


def test_the_defaults_are_gpt2s(build):
    norm = build(layernorm={}).model.final_norm
    assert (norm.eps, norm.bias.shape) == (1e-5, (32,))


def test_a_fresh_one_gives_mean_zero_and_variance_one(build):
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0)) * 3 + 7
    y = build(layernorm={}).model.final_norm(x)
    torch.testing.assert_close(y.mean(-1), torch.zeros(5), rtol=0, atol=1e-6)
    torch.testing.assert_close(y.var(-1, correction=0), torch.ones(5), rtol=1e-4, atol=0)


def test_other_techniques_norms_become_layer_norms_and_empty_places_stay(build):
    places = build(layernorm={}, norm_after_embed={}, shape={"depth": 1}).assembly.params
    assert "entry_norm.layernorm.gain" in places
    assert not any(".post." in path for path in places)


def test_nothing_of_it_decays(build):
    rules = build(layernorm={}).assembly.rules
    assert {path for path, rule in rules.items() if not rule.weight_decay} == {p for p in rules if ".layernorm." in p}


def test_bad_options_are_named(build):
    with pytest.raises(ConfigError, match=r"plugins\.layernorm\.eps"):
        build(layernorm={"eps": 0})
