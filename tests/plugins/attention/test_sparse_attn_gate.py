import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowGate(SlowGPT):
    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            out = []
            for t in range(len(tokens)):
                weights = [torch.exp(sum(q[t] * k[s]) / math.sqrt(width)) for s in range(t + 1)]
                y = sum(weight * v[s] for s, weight in enumerate(weights)) / sum(weights)
                if self.gated(layer):
                    row = self.layer(layer, "attention.attend.sparse_attn_gate.gate.weight")[head]
                    y = y / (1 + torch.exp(-sum(row[i] * x[t, i] for i in range(5))))
                out.append(y)
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ self.layer(layer, "attention.out.weight").T

    def gated(self, layer):
        return True


class SlowSomeGates(SlowGate):
    def gated(self, layer):
        return layer == 1


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(sparse_attn_gate={"channels": 5}, shape={"depth": 2}), SlowGate)


def test_only_chosen_layers_have_gates(build):
    run = build(sparse_attn_gate={"channels": 5, "layers": [1]}, shape={"depth": 2})
    assert_equals_slow_model(run, SlowSomeGates)
    assert sum("sparse_attn_gate" in path for path in run.assembly.params) == 1


def test_every_head_starts_at_half(build, batch):
    run, found = build(sparse_attn_gate={}), []
    part = run.model.blocks[2].attention.inner.attend
    part.register_forward_hook(lambda module, inputs, output: found.append(output))
    part.inner.register_forward_hook(lambda module, inputs, output: found.append(output))
    run.model.logits(batch()[0], run.dials.values)
    assert torch.equal(found[1], 0.5 * found[0])


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match=r"channels \(33\) exceeds model.dim \(32\)"):
        build(sparse_attn_gate={"channels": 33})
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(sparse_attn_gate={"layers": [4]})
