import math

import torch

from tests.plugins.slow import FP32_EPS, SlowGPT, assert_equals_slow_model


def normed(rows):
    """Each row of a head's values, number by number."""
    out = []
    for row in rows:
        mean = sum(number * number for number in row) / len(row)
        out.append(torch.stack([number / (mean + FP32_EPS) ** 0.5 for number in row]))
    return torch.stack(out)


class SlowVNorm(SlowGPT):
    def values(self, v, x, tokens, layer, head):
        return normed(v)


class SlowWithTables(SlowGPT):
    """First the norm, then the tables: otherwise their scale would be lost."""

    def values(self, v, x, tokens, layer, head):
        own, share = (self.layer(layer, f"attention.attend.value_embeddings.{name}") for name in ("own", "table"))
        table = self.p[f"shared.value_embeddings.{layer}.weight"]
        width = self.shape.head_dim
        found = torch.stack([table[token][head * width : (head + 1) * width] for token in tokens])
        return own * normed(v) + share * found


class SlowWithResidual(SlowGPT):
    """The first layer leaves normalised values."""

    def values(self, v, x, tokens, layer, head):
        v = normed(v)
        if layer == 0:
            self.first = {**getattr(self, "first", {}), head: v}
            return v
        share = self.layer(layer, "attention.attend.value_residual")
        return (1 - share) * v + share * self.first[head]


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(v_norm={}), SlowVNorm)


def test_value_embeddings_come_after_it(build):
    run = build(v_norm={}, value_embeddings={"layout": "full"}, shape={"depth": 2})
    assert_equals_slow_model(run, SlowWithTables)


def test_the_value_residual_is_of_normalised_values(build):
    assert_equals_slow_model(build(v_norm={}, value_residual={}, shape={"depth": 2}), SlowWithResidual)


def test_values_have_one_length(build, batch):
    run, found = build(v_norm={}), []
    inner = run.model.blocks[0].attention.inner.attend.inner
    inner.register_forward_hook(lambda module, inputs, output: found.append(inputs[2].norm(dim=-1)))
    run.model.logits(batch()[0], run.dials.values)
    torch.testing.assert_close(found[0], torch.full_like(found[0], math.sqrt(16)), rtol=1e-3, atol=0)
