import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu, rms_norm


class SlowGates(SlowGPT):
    """Of 4 layers: gates in 1 and 3, the other rule in 0, 1 and 2, the late network after block 1."""

    def row(self, tokens):
        h = self.embed(tokens)
        self.read = {"early": h}
        for layer in range(4):
            h = h + self.attention(self.norm(h), tokens, layer)
            h = h + self.mlp(self.norm(h), layer)
            if layer == 1:
                self.read["late"] = h
        return self.norm(h) @ self.p["head.out.weight"].T

    def number(self, layer, name, head, t):
        which = "late" if layer > 1 else "early"
        hidden = gelu(self.p[f"shared.mudd_gates.{which}.first.weight"] @ rms_norm(self.read[which][t]))
        of = f"blocks.{layer}.attention.attend.mudd_gates"
        made = self.p[f"{of}.{name}.weight"][head] @ hidden + self.p[f"{of}.{name}_bias"][head]
        return self.p[f"shared.mudd_gates.{which}.scale"] * made

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            out = []
            for t in range(len(tokens)):
                weights = [torch.exp(q[t] @ k[s] / math.sqrt(width)) for s in range(t + 1)]
                y = sum(weight * v[s] for s, weight in enumerate(weights)) / sum(weights)
                if layer in (0, 1, 2):
                    y = y - torch.tanh(self.number(layer, "own", head, t)) * (y @ v[t]) / (v[t] @ v[t]) * v[t]
                out.append(y * self.number(layer, "gate", head, t) if layer in (1, 3) else y)
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ self.layer(layer, "attention.out.weight").T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(mudd_gates={"width": 6, "scale": 0.7}), SlowGates)


def test_numbers_start_as_the_record_has_them(build, batch):
    run, found = build(mudd_gates={}, shape={"depth": 11}), {}
    for layer, block in enumerate(run.model.blocks):
        part = getattr(block, "block", block).attention.inner.attend
        if type(part).__name__ == "Told":
            for each in (part.inner, part):  # the inner one ends first
                each.register_forward_hook(lambda m, i, output, at=layer: found.setdefault(at, []).append(output))
    run.model.logits(batch()[0], run.dials.values)
    assert sorted(found) == [1, 3, 4, 7, 10]
    for layer, (plain, told) in found.items():
        torch.testing.assert_close(told, plain * (0.25 if layer in (3, 10) else 1), rtol=1e-6, atol=0)
    assert run.model.blocks[4].network is not None


@pytest.mark.parametrize(
    ("options", "networks"),
    [
        ({"gate_layers": [0], "xsa_layers": []}, {"early"}),
        ({"gate_layers": [3], "xsa_layers": [2]}, {"late"}),
        ({"gate_layers": [], "xsa_layers": []}, set()),
    ],
)
def test_a_network_that_nobody_reads_is_not_made(build, options, networks):
    run = build(mudd_gates=options)
    assert {path.split(".")[2] for path in run.assembly.params if path.startswith("shared.mudd_gates")} == networks


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="'mudd_gates' and 'xsa' conflict"):
        build(mudd_gates={}, xsa={})
    with pytest.raises(PluginError, match="'mudd_gates' and 'paired_head_attention' are both in layer 2"):
        build(mudd_gates={"gate_layers": [2]}, paired_head_attention={"layers": [2]})
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(mudd_gates={"late": 4})
