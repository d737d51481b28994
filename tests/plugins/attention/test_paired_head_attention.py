import cmath
import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake


class SlowPaired(SlowGPT):
    """Layer 0 has heads 0 and 1 in one; layer 1 is plain. Every query asks about every key of both heads."""

    window = 10**6
    speeds = ()

    def phase(self, layer, head, t):
        return 2 * t + head % 2 if layer == 0 else t

    def turned(self, x, angle):
        half, out = len(x) // 2, list(x)
        for i, speed in enumerate(self.speeds):
            w = cmath.exp(-1j * angle * speed)
            out[i], out[i + half] = x[i] * w.real - x[i + half] * w.imag, x[i] * w.imag + x[i + half] * w.real
        return torch.stack(out)

    def sees(self, layer, head, t, other, s):
        if layer == 1:
            return other == head and s <= t and t - s < self.window
        if other // 2 != head // 2:
            return False
        before = s <= t if other <= head else s < t
        return before and (2 * t + head % 2) - (2 * s + other % 2) < self.window

    def score(self, score, head, t, s):
        return score

    def attention(self, x, tokens, layer):
        width, count = self.shape.head_dim, self.shape.heads
        of = {
            (name, head): x @ self.layer(layer, f"attention.{name}.weight")[head * width : (head + 1) * width].T
            for name in "qkv"
            for head in range(count)
        }
        heads = []
        for head in range(count):
            out = []
            for t in range(len(tokens)):
                top, bottom = 0.0, 0.0
                q = self.turned(of["q", head][t], self.phase(layer, head, t))
                for other in range(count):
                    for s in range(len(tokens)):
                        if self.sees(layer, head, t, other, s):
                            k = self.turned(of["k", other][s], self.phase(layer, other, s))
                            weight = torch.exp(self.score(q @ k / math.sqrt(width), head, t, s))
                            top, bottom = top + weight * of["v", other][s], bottom + weight
                out.append(top / bottom)
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ self.layer(layer, "attention.out.weight").T


class SlowTurned(SlowPaired):
    speeds = tuple(10_000 ** (-i / 4) for i in range(4))


class SlowHalfStill(SlowPaired):
    speeds = (1.0, 1 / 50, 0.0, 0.0)


class SlowWindow(SlowPaired):
    window = 4


class SlowAlibi(SlowPaired):
    def score(self, score, head, t, s):
        return score - 2 ** (-2 * (head + 1)) * (t - s)


TWO = {"depth": 2, "dim": 32, "heads": 4}


@pytest.mark.parametrize(
    ("options", "slow"),
    [
        ({}, SlowPaired),
        ({"rope": {}}, SlowTurned),
        ({"rope": {"truncate": True, "base": 50}}, SlowHalfStill),
        ({"sliding_window": {"window": 4}}, SlowWindow),
        ({"alibi": {}}, SlowAlibi),
    ],
    ids=["plain", "rope", "truncate", "window", "alibi"],
)
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(shape=TWO, paired_head_attention={}, **options), slow, length=6)


def test_each_of_a_pair_is_told_its_sums_and_its_largest_score(build, batch):
    run = shake(build(shape=TWO, paired_head_attention={}, sinks={}, qk_clip={"tau": 1e9}))
    part, found = run.model.blocks[0].attention.inner.attend, []
    core = next(module for module in part.modules() if type(module).__name__ == "PairedAttend")
    core.register_forward_hook(lambda module, inputs, output: found.append(inputs))
    tokens = batch(2, 5)[0]
    ctx = run.model._context(tokens, run.dials.values)
    run.model.stack(run.model.embedding(tokens, ctx), ctx)
    q, k = (part.double() for part in found[0][:2])
    lse, top = ctx.saved["blocks.0.attention.attend.lse"], ctx.saved["blocks.0.attention.attend.top"]
    largest = [-math.inf] * 4
    for b in range(2):
        for head in range(4):
            for t in range(5):
                scores = [
                    float((q[b, t, head] @ k[b, s, other]).detach()) / math.sqrt(8)
                    for other in (head // 2 * 2, head // 2 * 2 + 1)
                    for s in range(5)
                    if 2 * s + other % 2 <= 2 * t + head % 2
                ]
                assert float(lse[b, t, head]) == pytest.approx(math.log(sum(map(math.exp, scores))), rel=1e-4, abs=1e-4)
                for both in (head // 2 * 2, head // 2 * 2 + 1):
                    largest[both] = max(largest[both], *scores)
    assert top.tolist() == pytest.approx(largest, rel=1e-4)


def test_documents_hold(build):
    run = shake(build(shape=TWO, paired_head_attention={}, rope={}, config={"data": {"document_mask": True}}))
    tokens = torch.tensor([[5, 9, 7, 0, 3, 4]])
    other = torch.tensor([[6, 1, 2, 0, 3, 4]])
    seen, same = (run.model.logits(each, run.dials.values) for each in (tokens, other))
    assert torch.equal(seen[:, 3:], same[:, 3:])


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="needs an even number of heads with keys of their own"):
        build(shape={"heads": 1}, paired_head_attention={})
    with pytest.raises(PluginError, match="'paired_head_attention' and 'gqa' conflict"):
        build(shape=TWO, paired_head_attention={}, gqa={"kv_heads": 2})
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(paired_head_attention={"layers": [4]})
    with pytest.raises(PluginError, match="'paired_head_attention' needs a rotation, which 'rope' with form 'nvidia'"):
        build(paired_head_attention={}, rope={"form": "nvidia"})
