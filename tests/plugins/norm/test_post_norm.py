import pytest

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowBranch(SlowGPT):
    """x + rms(branch(x)); the norm before the head stays."""

    def row(self, tokens):
        h = self.embed(tokens)
        for layer in range(self.shape.depth):
            h = h + rms_norm(self.attention(h, tokens, layer))
            h = h + rms_norm(self.mlp(h, layer))
        return rms_norm(h) @ self.p["head.out.weight"].T


class SlowStream(SlowGPT):
    """rms(x + branch(x)), and nothing before the head."""

    def row(self, tokens):
        h = self.embed(tokens)
        for layer in range(self.shape.depth):
            h = rms_norm(h + self.attention(h, tokens, layer))
            h = rms_norm(h + self.mlp(h, layer))
        return h @ self.p["head.out.weight"].T


@pytest.mark.parametrize(("place", "slow"), [("branch", SlowBranch), ("stream", SlowStream)])
def test_the_whole_model_equals_the_definition(build, place, slow):
    assert_equals_slow_model(build(post_norm={"place": place}), slow)


def test_the_norm_of_the_stream_may_be_of_another_kind(build):
    gains = build(post_norm={"place": "stream"}, rmsnorm_gain={}, shape={"depth": 1}).assembly.params
    assert [path for path in gains if path.endswith("norm_gain")] == [
        "blocks.0.attention.connection.stream_norm.norm_gain",
        "blocks.0.mlp.connection.stream_norm.norm_gain",
    ]


def test_bad_options_are_named(build):
    with pytest.raises(ConfigError, match=r"plugins\.post_norm\.place"):
        build(post_norm={"place": "behind"})
