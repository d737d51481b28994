import math

import pytest
import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


class SlowTimeMix(SlowGPT):
    """One token after the other, the transition matrix written out."""

    separator = None

    def attention(self, x, tokens, layer):
        weight = lambda name: self.layer(layer, f"attention.{name}.weight")  # noqa: E731
        of = lambda name: self.layer(layer, f"attention.time_mix.{name}")  # noqa: E731
        width = self.shape.head_dim
        memories = [torch.zeros(width, width, dtype=torch.float64) for _ in range(self.shape.heads)]
        rows = []
        for t in range(len(tokens)):
            fresh = t == 0 or tokens[t] == self.separator
            last = torch.zeros_like(x[t]) if fresh else x[t - 1]
            x_r, x_w, x_k, x_v, x_a, x_g = (x[t] + (last - x[t]) * of(f"mix_{name}") for name in "rwkvag")
            r, k, v = weight("r") @ x_r, weight("k") @ x_k, weight("v") @ x_v
            w = torch.exp(-math.exp(-0.5) * sigmoid(of("decay") + weight("w_up") @ torch.tanh(weight("w_down") @ x_w)))
            a = sigmoid(of("strength") + weight("a_up") @ (weight("a_down") @ x_a))
            g = weight("g_up") @ sigmoid(weight("g_down") @ x_g)
            kappa, key = k * of("xi"), k * (1 + (a - 1) * of("alpha"))
            out = []
            for head in range(self.shape.heads):
                at = slice(head * width, (head + 1) * width)
                unit = kappa[at] / kappa[at].norm()
                if fresh:
                    memories[head] = torch.zeros(width, width, dtype=torch.float64)
                change = torch.diag(w[at]) - torch.outer(unit, a[at] * unit)
                memories[head] = memories[head] @ change + torch.outer(v[at], key[at])
                y = memories[head] @ r[at]
                centred = y - y.mean()
                y = centred / torch.sqrt((centred**2).mean() + 64e-5) * of("gain")[at] + of("bias")[at]
                out.append(y + (r[at] * of("rho")[at] * key[at]).sum() * v[at])
            rows.append(weight("out") @ (torch.cat(out) * g))
        return torch.stack(rows)


class SlowDocuments(SlowTimeMix):
    separator = 0


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_chunks_equal_the_recurrence(build, chunk):
    assert_equals_slow_model(build(rwkv7_time_mix={"chunk": chunk, "rank": 5}, shape={"depth": 2}), SlowTimeMix)


def test_a_separator_empties_the_memory(build):
    run = build(rwkv7_time_mix={"chunk": 4}, config={"data": {"document_mask": True}}, shape={"depth": 1})
    tokens = torch.tensor([[5, 0, 7, 8, 0, 0, 3, 9, 4], [1, 2, 3, 4, 5, 0, 6, 7, 8]])
    wanted = SlowDocuments(shake(run)).logits(tokens)
    torch.testing.assert_close(run.model.logits(tokens, {}).double(), wanted, rtol=1e-4, atol=1e-4)


def test_vectors_start_as_the_authors_start_them(build):
    params = build(rwkv7_time_mix={}).assembly.params
    for layer in range(4):
        of = lambda name: params[f"blocks.{layer}.attention.time_mix.{name}"].tolist()  # noqa: B023, E731
        for name, power in {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}.items():
            wanted = [1 - (i / 32) ** (power * (1 - layer / 4)) for i in range(32)]
            assert of(f"mix_{name}") == pytest.approx(wanted, abs=1e-6)
        speeds = [-7 + 5 * (i / 31) ** (0.85 + (layer / 3) ** 0.5) + 0.5 for i in range(32)]
        assert of("decay") == pytest.approx(speeds, abs=1e-5)
        assert {name: of(name)[7] for name in ("xi", "alpha", "rho")} == pytest.approx(
            {"xi": 0.85, "alpha": 1, "rho": 0}
        )


def test_without_removal_and_decay_it_adds_up_values(build):
    """a = 0 and w = 1: S is the sum of v k^T, which is linear attention."""
    run = shake(build(rwkv7_time_mix={"chunk": 4}, shape={"depth": 1}))
    with torch.no_grad():
        for name, value in (("decay", -1e4), ("strength", -1e4), ("alpha", 0.0), ("rho", 0.0)):
            run.assembly.params[f"blocks.0.attention.time_mix.{name}"].fill_(value)
    part = run.model.blocks[0].attention.inner
    x = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(0))
    ctx = run.model._context(torch.ones(1, 9, dtype=torch.long), {})
    found = []
    part.out.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    part(x, ctx)
    past = torch.cat((torch.zeros(1, 1, 32), x[:, :-1]), 1)
    r, k, v, g = (x + (past - x) * part.mixes[name] for name in "rkvg")
    r, k, v = part.r(r)[0], part.k(k)[0], part.v(v)[0]
    gate = part.up["g"](part.down["g"](g).sigmoid())[0]
    for head in range(2):
        at = slice(16 * head, 16 * head + 16)
        for t in range(9):
            y = sum((k[s, at] @ r[t, at]) * v[s, at] for s in range(t + 1))
            y = torch.nn.functional.layer_norm(y, (16,), eps=64e-5)
            y = y * part.vectors["gain"][at] + part.vectors["bias"][at]
            torch.testing.assert_close(found[0][0, t, at], y * gate[t, at], rtol=1e-3, atol=1e-4)


def test_bf16_is_close(build, batch):
    tokens, targets = batch()
    run = build(rwkv7_time_mix={})
    exact, _ = run.model(tokens, targets, run.dials.values)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = run.model(tokens, targets, run.dials.values)
    assert float(exact.detach()) == pytest.approx(float(rounded.detach()), abs=0.02)
