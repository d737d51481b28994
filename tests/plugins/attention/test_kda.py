import math

import pytest
import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm, shake


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


class SlowKda(SlowGPT):
    """One token after the other, one matrix per head, channel by channel; layer 1 has softmax."""

    separator = None

    def attention(self, x, tokens, layer):
        if layer == 1:
            return super().attention(x, tokens, layer)
        of = lambda name: self.layer(layer, f"attention.{name}")  # noqa: E731
        width, length = self.shape.head_dim, len(tokens)
        first = [max([0, *(s for s in range(t + 1) if tokens[s] == self.separator)]) for t in range(length)]
        found = {}
        for name in "qkv":
            plain, kernel = x @ of(f"{name}.weight").T, of(f"{name}_conv.weight")
            rows = []
            for t in range(length):
                row = sum(kernel[i] * plain[t - i] for i in range(len(kernel)) if t - i >= first[t])
                rows.append(row * sigmoid(row))
            found[name] = rows
        heads = []
        for head in range(self.shape.heads):
            part = slice(head * width, (head + 1) * width)
            memory, out = torch.zeros(width, width, dtype=torch.float64), []
            for t in range(length):
                if tokens[t] == self.separator:
                    memory = torch.zeros_like(memory)
                q, k, v = (found[name][t][part] for name in "qkv")
                q, k = q / q.norm() / math.sqrt(width), k / k.norm()
                opened = (of("forget_up.weight") @ (of("forget_down.weight") @ x[t]) + of("kda_bias"))[part]
                a = torch.exp(-torch.exp(of("kda_rate")[head, 0]) * torch.log1p(torch.exp(opened)))
                b = sigmoid(of("strength.weight")[head] @ x[t])
                memory = torch.stack([memory[:, i] * a[i] for i in range(width)], 1)
                memory = memory + b * torch.outer(v - memory @ k, k)
                gate = sigmoid((of("gate_up.weight") @ (of("gate_down.weight") @ x[t]))[part])
                out.append(rms_norm(memory @ q) * of("gain") * gate)
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ of("out.weight").T


class SlowDocuments(SlowKda):
    separator = 0


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_chunks_equal_the_recurrence(build, chunk):
    run = build(kda={"chunk": chunk, "softmax_every": 2}, shape={"depth": 2})
    assert_equals_slow_model(run, SlowKda)


def test_a_separator_empties_the_memory(build):
    run = build(kda={"chunk": 4, "softmax_every": 0}, config={"data": {"document_mask": True}}, shape={"depth": 1})
    tokens = torch.tensor([[5, 0, 7, 8, 0, 0, 3, 9, 4], [1, 2, 3, 4, 5, 0, 6, 7, 8]])
    wanted = SlowDocuments(shake(run)).logits(tokens)
    torch.testing.assert_close(run.model.logits(tokens, {}).double(), wanted, rtol=1e-4, atol=1e-4)


def test_which_layers_keep_softmax(build):
    found = {}
    for every in (0, 1, 2, 4):
        run = build(kda={"softmax_every": every})
        found[every] = [not hasattr(block.attention.inner, "strength") for block in run.model.blocks]
    assert found == {0: [False] * 4, 1: [True] * 4, 2: [False, True] * 2, 4: [False] * 3 + [True]}


def test_a_gate_that_closes_leaves_no_rest_and_no_overflow(build, batch):
    run = build(kda={"softmax_every": 0})
    with torch.no_grad():
        for path, value in run.assembly.params.items():
            if path.endswith("kda_rate"):
                value.fill_(5.0)
            if path.endswith("kda_bias"):
                value.fill_(30.0)
    loss, _ = run.model(*batch(), run.dials.values)
    loss.backward()
    assert all(torch.isfinite(value.grad).all() for value in run.assembly.params.values() if value.grad is not None)


def test_bf16_is_close(build, batch):
    tokens, targets = batch()
    run = build(kda={})
    exact, _ = run.model(tokens, targets, run.dials.values)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = run.model(tokens, targets, run.dials.values)
    assert float(exact.detach()) == pytest.approx(float(rounded.detach()), abs=0.02)
