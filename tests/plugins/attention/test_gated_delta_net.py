import math

import pytest
import torch
from coregpt_plugins.attention.gated_delta_net import inverse

from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


def silu(x):
    return x / (1 + torch.exp(-x))


class SlowDelta(SlowGPT):
    """One token after the other, one matrix per head."""

    documents = None

    def attention(self, x, tokens, layer):
        of = lambda name: self.layer(layer, f"attention.{name}")  # noqa: E731
        width = self.shape.head_dim
        places = self.documents(tokens) if self.documents else [0] * len(tokens)
        found = {}
        for name in "qkv":
            plain, kernel = x @ of(f"{name}.weight").T, of(f"{name}_conv.weight")
            found[name] = [
                silu(sum(kernel[i] * plain[t - i] for i in range(len(kernel)) if t >= i and places[t - i] == places[t]))
                for t in range(len(tokens))
            ]
        heads = []
        for head in range(self.shape.heads):
            part = slice(head * width, (head + 1) * width)
            memory = torch.zeros(width, width, dtype=torch.float64)
            out = []
            for t in range(len(tokens)):
                if t and places[t] != places[t - 1]:
                    memory = torch.zeros_like(memory)
                q, k, v = (found[name][t][part] for name in "qkv")
                q, k = q / q.norm() / math.sqrt(width), k / k.norm()
                opened = of("forget.weight")[head] @ x[t] + of("delta_bias")[head]
                a = torch.exp(-torch.exp(of("delta_rate")[head]) * torch.log1p(torch.exp(opened)))
                b = 1 / (1 + torch.exp(-(of("strength.weight")[head] @ x[t])))
                memory = a * memory
                memory = memory + b * torch.outer(v - memory @ k, k)
                out.append(rms_norm(memory @ q) * of("gain") * silu(of("gate.weight")[part] @ x[t]))
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ of("out.weight").T


class SlowDocuments(SlowDelta):
    def documents(self, tokens):
        return [sum(token == 0 for token in tokens[: t + 1]) for t in range(len(tokens))]


@pytest.mark.parametrize("chunk", [2, 3, 8])
def test_chunks_equal_the_recurrence(build, chunk):
    assert_equals_slow_model(build(gated_delta_net={"chunk": chunk}, shape={"depth": 2}), SlowDelta)


def test_a_separator_empties_the_memory(build):
    run = build(gated_delta_net={"chunk": 4}, config={"data": {"document_mask": True}}, shape={"depth": 2})
    tokens = torch.tensor([[5, 0, 7, 8, 0, 0, 3, 9, 4], [1, 2, 3, 4, 5, 0, 6, 7, 8]])
    slow = SlowDocuments(run)
    torch.testing.assert_close(run.model.logits(tokens, {}).double(), slow.logits(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5, 32])
def test_the_inverse_by_blocks(size):
    system = torch.randn(3, size, size, dtype=torch.float64).tril(-1)
    wanted = torch.linalg.inv(torch.eye(size, dtype=torch.float64) + system)
    torch.testing.assert_close(inverse(system), wanted, rtol=1e-9, atol=1e-9)


def test_bf16_is_close_and_the_memory_is_not_in_bf16(build, batch):
    tokens, targets = batch()
    run = build(gated_delta_net={})
    exact, _ = run.model(tokens, targets, run.dials.values)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = run.model(tokens, targets, run.dials.values)
    assert float(exact) == pytest.approx(float(rounded), abs=0.02)
