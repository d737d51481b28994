import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowScaled(SlowGPT):
    def score_factor(self):
        return 0.3


class SlowScaledAndCapped(SlowGPT):
    """A cap of 0.5 on scores that were multiplied by 0.3 already."""

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            out = []
            for t in range(len(tokens)):
                scores = [0.5 * torch.tanh(0.3 * sum(q[t] * k[s]) / 0.5) for s in range(t + 1)]
                total = sum(score.exp() for score in scores)
                out.append(sum(score.exp() / total * v[s] for s, score in enumerate(scores)))
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ self.layer(layer, "attention.out.weight").T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(attn_scale={"scale": 0.3}), SlowScaled)


def test_other_rules_see_scaled_scores(build):
    run = build(attn_scale={"scale": 0.3}, score_softcap={"cap": 0.5}, shape={"depth": 1})
    assert_equals_slow_model(run, SlowScaledAndCapped)


def test_narrower_heads_have_the_same_scale(build):
    run = build(attn_scale={"scale": 0.3}, mla={"nope": 5, "rope": 4})
    assert run.model.blocks[0].attention.inner.attend.factor == pytest.approx(0.3 * math.sqrt(9))


def test_only_positive_numbers(build):
    with pytest.raises(ConfigError, match=r"plugins\.attn_scale\.scale"):
        build(attn_scale={"scale": 0})
