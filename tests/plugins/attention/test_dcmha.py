import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import FP32_EPS, SlowGPT, assert_equals_slow_model, gelu, shake


class SlowDcmha(SlowGPT):
    """Every pair of tokens by itself, its numbers of all heads in a vector."""

    group, separator, cap = 1, None, None

    def side(self, layer, which, end, x):
        of = lambda name: self.layer(layer, f"attention.attend.dcmha.{which}.{end}.{name}.weight")  # noqa: E731
        hidden, heads = gelu(of("first") @ x), self.shape.heads
        heard, said = of("heard") @ hidden, of("said") @ hidden
        terms = []
        for r in range(len(heard) // heads):
            one = heard[r * heads : (r + 1) * heads]
            one = one / torch.sqrt((one * one).sum() / heads + FP32_EPS)
            terms.append((one, said[r * heads : (r + 1) * heads]))
        return terms, torch.tanh(of("scaled") @ x)

    def composed(self, layer, which, a, x_t, x_s):
        out = self.layer(layer, f"attention.attend.dcmha.{which}.mixed") @ a
        for end, x in (("query", x_t), ("key", x_s)):
            terms, factor = self.side(layer, which, end, x)
            out = out + factor * a
            for heard, said in terms:
                out = out + said * (heard @ a)
        return out

    def attention(self, x, tokens, layer):
        width, count, length = self.shape.head_dim, self.shape.heads, len(tokens)
        at = {"q": lambda h: h, "k": lambda h: h // self.group, "v": lambda h: h // self.group}
        of = {
            name: [
                x @ self.layer(layer, f"attention.{name}.weight")[place(h) * width : (place(h) + 1) * width].T
                for h in range(count)
            ]
            for name, place in at.items()
        }
        rows = []
        for t in range(length):
            first = max([0, *(s for s in range(t + 1) if tokens[s] == self.separator)])
            scores = {}
            for s in range(first, t + 1):
                a = torch.stack([of["q"][h][t] @ of["k"][h][s] / math.sqrt(width) for h in range(count)])
                a = a if self.cap is None else self.cap * torch.tanh(a / self.cap)
                scores[s] = self.composed(layer, "before", a, x[t], x[s])
            total = sum(torch.exp(a) for a in scores.values())
            out = [0.0] * count
            for s, a in scores.items():
                shares = self.composed(layer, "after", torch.exp(a) / total, x[t], x[s])
                out = [out[h] + shares[h] * of["v"][h][s] for h in range(count)]
            rows.append(torch.cat(out))
        return torch.stack(rows) @ self.layer(layer, "attention.out.weight").T


class SlowShared(SlowDcmha):
    group = 2


class SlowCapped(SlowDcmha):
    cap = 0.5


class SlowDocuments(SlowDcmha):
    separator = 0


FOUR = {"depth": 2, "dim": 32, "heads": 4}
OPTIONS = {"width": 5}


@pytest.mark.parametrize(
    ("others", "slow"),
    [({}, SlowDcmha), ({"gqa": {"kv_heads": 2}}, SlowShared), ({"score_softcap": {"cap": 0.5}}, SlowCapped)],
    ids=["plain", "shared keys", "score rules"],
)
def test_the_whole_model_equals_the_definition(build, others, slow):
    assert_equals_slow_model(build(shape=FOUR, dcmha=OPTIONS, **others), slow)


def test_documents_hold(build):
    run = shake(build(shape=FOUR, dcmha=OPTIONS, config={"data": {"document_mask": True}}))
    tokens = torch.tensor([[5, 9, 0, 7, 1, 0, 3, 4]])
    torch.testing.assert_close(
        run.model.logits(tokens, run.dials.values).double(), SlowDocuments(run).logits(tokens), rtol=1e-4, atol=1e-4
    )


def test_training_starts_as_without_it(build, batch):
    tokens, _ = batch()
    plain, run = build(), build(dcmha={})
    wanted = plain.model.logits(tokens, plain.dials.values)
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values), wanted, rtol=0, atol=1e-5)


def test_sums_are_of_the_scores_that_softmax_sees(build, batch):
    """At the start these are the plain ones."""
    tokens = batch()[0]
    logits = [run.model.logits(tokens, run.dials.values) for run in (build(sinks={}), build(sinks={}, dcmha={}))]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-5)


def test_chosen_layers_and_clashes(build):
    run = build(dcmha={"layers": [1]})
    assert {path.split(".")[1] for path in run.assembly.params if ".dcmha." in path} == {"1"}
    with pytest.raises(PluginError, match="claimed by 'dcmha' and 'paired_head_attention'"):
        build(dcmha={}, paired_head_attention={})
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(dcmha={"layers": [4]})
