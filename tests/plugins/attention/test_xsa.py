import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake


class SlowXsa(SlowGPT):
    """One head, one token after the other; `group` query heads share a key head."""

    group = 1

    def share(self, layer, head):
        return torch.tanh(self.layer(layer, "attention.attend.xsa")[head])

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            place = {"q": head, "k": head // self.group, "v": head // self.group}
            q, k, v = (
                x @ self.layer(layer, f"attention.{name}.weight")[at * width : (at + 1) * width].T
                for name, at in place.items()
            )
            v = self.values(v, x, tokens, layer, head)
            out = []
            for t in range(len(tokens)):
                weights = [torch.exp(q[t] @ k[s] / math.sqrt(width)) for s in range(t + 1)]
                y = sum(weight * v[s] for s, weight in enumerate(weights)) / sum(weights)
                dot = sum(y[i] * v[t, i] for i in range(width))
                square = sum(v[t, i] ** 2 for i in range(width))
                out.append(y - self.share(layer, head) * dot / square * v[t])
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ self.layer(layer, "attention.out.weight").T


class SlowFixed(SlowXsa):
    def share(self, layer, head):
        return 0.6


class SlowShared(SlowXsa):
    group = 2


class SlowWithTables(SlowXsa):
    """The token's own value is the one that is attended to, with what a table added."""

    def values(self, v, x, tokens, layer, head):
        own, share = (self.layer(layer, f"attention.attend.value_embeddings.{name}") for name in ("own", "table"))
        columns = slice(head * self.shape.head_dim, (head + 1) * self.shape.head_dim)
        return own * v + share * self.p[f"shared.value_embeddings.{layer}.weight"][tokens][:, columns]


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(xsa={}, shape={"depth": 2}), SlowXsa)


def test_a_fixed_share(build):
    run = build(xsa={"share": 0.6}, shape={"depth": 2})
    assert not any("xsa" in path for path in run.assembly.params)
    assert_equals_slow_model(run, SlowFixed)


def test_query_heads_that_share_a_value_head(build):
    run = build(xsa={}, gqa={"kv_heads": 2}, shape={"depth": 2, "dim": 32, "heads": 4})
    assert_equals_slow_model(run, SlowShared)


def test_it_sees_values_with_what_others_added(build):
    run = build(xsa={}, value_embeddings={"layout": "full"}, shape={"depth": 2})
    assert_equals_slow_model(run, SlowWithTables)


def test_at_share_one_nothing_points_along_the_own_value(build, batch):
    run, found = shake(build(xsa={"share": 1.0})), []
    part = run.model.blocks[1].attention.inner.attend
    part.register_forward_hook(lambda module, inputs, output: found.append((inputs[2], output)))
    run.model.logits(batch()[0], run.dials.values)
    (v, y), *_ = found
    cosine = torch.nn.functional.cosine_similarity(v[:, 1:], y[:, 1:], dim=-1)
    assert cosine.abs().max() < 1e-4
    assert y[:, 0].abs().max() < 1e-5  # the first token sees nothing but itself


def test_training_starts_as_without_it(build, batch):
    tokens, _ = batch()
    plain, run = build(), build(xsa={})
    wanted = plain.model.logits(tokens, plain.dials.values)
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values), wanted, rtol=0, atol=1e-6)


def test_paired_layers_are_passed_over_or_refused_by_name(build):
    run = build(xsa={}, paired_head_attention={"layers": [1]})
    assert [path.split(".")[1] for path in run.assembly.params if "xsa" in path] == ["0", "2", "3"]
    with pytest.raises(PluginError, match="'xsa' and 'paired_head_attention' are both in layer 1"):
        build(xsa={"layers": [0, 1]}, paired_head_attention={"layers": [1]})


def test_chosen_layers(build):
    run = build(xsa={"layers": [2]})
    assert [path.split(".")[1] for path in run.assembly.params if "xsa" in path] == ["2"]
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(xsa={"layers": [4]})
