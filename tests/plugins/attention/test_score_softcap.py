import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowRules(SlowGPT):
    """Attention that changes every score by itself."""

    def score(self, s, head, i, j):
        return s

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            outputs = []
            for i in range(len(tokens)):
                scores = [self.score(q[i] @ k[j] / math.sqrt(width), head, i, j) for j in range(i + 1)]
                weights = torch.exp(torch.stack(scores))
                outputs.append((weights / weights.sum()) @ v[: i + 1])
            heads.append(torch.stack(outputs))
        return torch.cat(heads, dim=1) @ self.layer(layer, "attention.out.weight").T


class SlowCap(SlowRules):
    def score(self, s, head, i, j):
        e = torch.exp(2 * s / 0.3)
        return 0.3 * (e - 1) / (e + 1)


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(score_softcap={"cap": 0.3}), SlowCap)


def test_no_score_exceeds_the_cap(build, batch):
    run = build(score_softcap={"cap": 0.01}, shape={"init_std": 1.0})
    found = []
    attend = run.model.blocks[0].attention.inner.attend
    key = run.assembly.watched[attend_path := "blocks.0.attention.attend"].setdefault("top", f"{attend_path}.top")
    attend.register_forward_hook(lambda module, inputs, output: found.append(inputs[-1].saved[key]))
    run.model.logits(batch()[0], run.dials.values)
    assert 0 < float(found[0].max()) <= 0.01


def test_bad_options_are_named(build):
    with pytest.raises(ConfigError, match=r"plugins\.score_softcap\.cap"):
        build(score_softcap={"cap": 0})
