import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu, shake


class SlowDcLite(SlowGPT):
    """The last layer's heads, one token after the other; `group` query heads share a key head."""

    group, window, scale, separator, cap = 1, 3, 0.5, None, None

    def score(self, q, k):
        s = sum(q * k) / math.sqrt(len(q))
        return s if self.cap is None else self.cap * torch.tanh(s / self.cap)

    def left(self, y, own, layer, head):
        return y

    def attention(self, x, tokens, layer):
        width, count, length = self.shape.head_dim, self.shape.heads, len(tokens)
        of = lambda name: self.layer(layer, f"attention.attend.dc_lite.{name}")  # noqa: E731
        rows = {"q": lambda h: h, "k": lambda h: h // self.group, "v": lambda h: h // self.group}
        q, k, v = (
            [
                x @ self.layer(layer, f"attention.{name}.weight")[at(h) * width : (at(h) + 1) * width].T
                for h in range(count)
            ]
            for name, at in rows.items()
        )
        start = [max([0, *(s for s in range(t + 1) if tokens[s] == self.separator)]) for t in range(length)]
        heads = [[] for _ in range(count)]
        for t in range(length):
            if layer == self.shape.depth - 1:
                hidden = gelu(of("first.weight") @ x[t])
                made = of("second.weight") @ hidden
                heard = [self.scale * (made[h] + of("bias_in")[h]) for h in range(count)]
                norm = torch.sqrt(sum(one * one for one in heard) / count + 1e-6)
                said = [self.scale * (made[count + h] + of("bias_out")[h]) for h in range(count)]
                mixed = dict.fromkeys(range(max(start[t], t - self.window + 1), t + 1), 0.0)
                for h in range(count):
                    total = sum(torch.exp(self.score(q[h][t], k[h][s])) for s in mixed)
                    for s in mixed:
                        mixed[s] = mixed[s] + heard[h] / norm * torch.exp(self.score(q[h][t], k[h][s])) / total
            for h in range(count):
                weights = {s: torch.exp(self.score(q[h][t], k[h][s])) for s in range(start[t], t + 1)}
                y = sum(weight * v[h][s] for s, weight in weights.items()) / sum(weights.values())
                y = self.left(y, v[h][t], layer, h)
                if layer == self.shape.depth - 1:
                    y = y + said[h] * sum(share * v[h][s] for s, share in mixed.items())
                heads[h].append(y)
        return torch.cat([torch.stack(out) for out in heads], 1) @ self.layer(layer, "attention.out.weight").T


class SlowWide(SlowDcLite):
    window = 112


class SlowShared(SlowDcLite):
    group = 2


class SlowCapped(SlowDcLite):
    cap = 0.5


class SlowExclusive(SlowDcLite):
    """What points along the own value is left out before the mixed map is added."""

    def left(self, y, own, layer, head):
        return y - torch.tanh(self.layer(layer, "attention.attend.xsa")[head]) * (y @ own) / (own @ own) * own


class SlowDocuments(SlowDcLite):
    separator = 0


TWO = {"depth": 2, "dim": 32, "heads": 4}
OPTIONS = {"window": 3, "scale": 0.5, "width": 6}


@pytest.mark.parametrize(
    ("options", "others", "slow"),
    [
        (OPTIONS, {}, SlowDcLite),
        ({**OPTIONS, "window": 112}, {}, SlowWide),
        (OPTIONS, {"gqa": {"kv_heads": 2}}, SlowShared),
        (OPTIONS, {"score_softcap": {"cap": 0.5}}, SlowCapped),
        (OPTIONS, {"xsa": {}}, SlowExclusive),
    ],
    ids=["window", "wider than the row", "shared keys", "score rules", "xsa"],
)
def test_the_whole_model_equals_the_definition(build, options, others, slow):
    assert_equals_slow_model(build(shape=TWO, dc_lite=options, **others), slow)


def test_documents_hold(build):
    run = shake(build(shape=TWO, dc_lite=OPTIONS, config={"data": {"document_mask": True}}))
    tokens = torch.tensor([[5, 9, 0, 7, 1, 0, 3, 4]])
    torch.testing.assert_close(
        run.model.logits(tokens, run.dials.values).double(), SlowDocuments(run).logits(tokens), rtol=1e-4, atol=1e-4
    )


def test_training_starts_as_without_it(build, batch):
    tokens, _ = batch()
    plain, run = build(), build(dc_lite={"layers": [0, 1, 2, 3]})
    wanted = plain.model.logits(tokens, plain.dials.values)
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values), wanted, rtol=0, atol=1e-6)


def test_not_where_heads_are_paired(build):
    with pytest.raises(PluginError, match="'dc_lite' and 'paired_head_attention' are both in layer 2"):
        build(dc_lite={"layers": [2]}, paired_head_attention={})
    with pytest.raises(PluginError, match="layer 4 of a model with 4 layers"):
        build(dc_lite={"layers": [4]})
