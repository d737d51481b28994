import pytest
import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm, shake

OPTIONS = {"state": 5, "kernel": 3}


def silu(x):
    return x / (1 + torch.exp(-x))


class SlowMamba(SlowGPT):
    """One token after the other; 4 heads of 16 channels; layer 1 has softmax."""

    separator = None

    def attention(self, x, tokens, layer):
        if layer == 1:
            return super().attention(x, tokens, layer)
        weight = lambda name: self.layer(layer, f"attention.{name}.weight")  # noqa: E731
        of = lambda name: self.layer(layer, f"attention.mamba2.{name}")  # noqa: E731
        memories, rows, start = [torch.zeros(16, 5, dtype=torch.float64)] * 4, [], 0
        plain = [weight("mix") @ row for row in x]
        for t in range(len(tokens)):
            if tokens[t] == self.separator:
                memories, start = [torch.zeros(16, 5, dtype=torch.float64)] * 4, t
            mixed = of("shift")
            for back in range(3):
                if t - back >= start:
                    mixed = mixed + of("kernel")[back] * plain[t - back]
            mixed = silu(mixed)
            u, b, c = mixed[:64], mixed[64:69], mixed[69:]
            y = []
            for head in range(4):
                delta = torch.log(1 + torch.exp(weight("delta")[head] @ x[t] + of("bias")[head]))
                a = torch.exp(-torch.exp(of("decay")[head]) * delta)
                own = u[16 * head : 16 * head + 16]
                memories = [
                    a * memory + delta * torch.outer(own, b) if place == head else memory
                    for place, memory in enumerate(memories)
                ]
                y.append(memories[head] @ c + of("skip")[head] * own)
            gated = torch.cat(y) * silu(weight("z") @ x[t])
            rows.append(weight("out") @ (rms_norm(gated) * of("gain")))
        return torch.stack(rows)


class SlowDocuments(SlowMamba):
    separator = 0


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_chunks_equal_the_recurrence(build, chunk):
    run = build(mamba2={**OPTIONS, "chunk": chunk, "softmax_every": 2}, shape={"depth": 2})
    assert_equals_slow_model(run, SlowMamba)


def test_a_separator_empties_the_memory(build):
    run = build(mamba2={**OPTIONS, "chunk": 4}, config={"data": {"document_mask": True}}, shape={"depth": 1})
    tokens = torch.tensor([[5, 0, 7, 8, 0, 0, 3, 9, 4], [1, 2, 3, 4, 5, 0, 6, 7, 8]])
    wanted = SlowDocuments(shake(run)).logits(tokens)
    torch.testing.assert_close(run.model.logits(tokens, {}).double(), wanted, rtol=1e-4, atol=1e-4)


def test_decays_and_steps_start_in_the_published_ranges(build):
    params = build(mamba2={}, shape={"heads": 32, "dim": 64}).assembly.params
    decay, bias = (
        torch.cat([params[f"blocks.{layer}.attention.mamba2.{name}"] for layer in range(4)]).detach().double()
        for name in ("decay", "bias")
    )
    rate, delta = decay.exp(), torch.log1p(bias.exp())
    assert 1 <= float(rate.min()) < 2
    assert 15 < float(rate.max()) <= 16
    assert 0.001 <= float(delta.min()) < 0.0015
    assert 0.07 < float(delta.max()) <= 0.1
    assert float(rate.mean()) == pytest.approx(8.5, abs=0.8)
    assert float(delta.log10().mean()) == pytest.approx(-2, abs=0.12)
    assert abs(float(torch.corrcoef(torch.stack((rate, delta.log())))[0, 1])) < 0.2


def test_parameters_of_one_layer(build):
    run = build(mamba2={"state": 8}, shape={"depth": 1})
    count = sum(value.numel() for path, value in run.assembly.params.items() if ".attention." in path)
    mixed = 64 + 2 * 8
    assert count == 32 * 64 + 32 * mixed + 32 * 4 + 4 * mixed + mixed + 3 * 4 + 64 + 64 * 32


def test_bf16_is_close(build, batch):
    tokens, targets = batch()
    run = build(mamba2={})
    exact, _ = run.model(tokens, targets, run.dials.values)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = run.model(tokens, targets, run.dials.values)
    assert float(exact.detach()) == pytest.approx(float(rounded.detach()), abs=0.02)
