import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake

FOUR = {"dim": 32, "heads": 4}


class SlowGrouped(SlowGPT):
    """Query heads 0 and 1 read key head 0, query heads 2 and 3 key head 1."""

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(4):
            own, shared = slice(head * width, (head + 1) * width), slice(head // 2 * width, (head // 2 + 1) * width)
            q = x @ self.layer(layer, "attention.q.weight")[own].T
            k, v = (x @ self.layer(layer, f"attention.{name}.weight")[shared].T for name in "kv")
            v = self.values(v, x, tokens, layer, head // 2)
            outputs = []
            for t in range(len(tokens)):
                weights = torch.exp(k[: t + 1] @ q[t] * self.score_factor())
                outputs.append((weights / weights.sum()) @ v[: t + 1])
            heads.append(torch.stack(outputs))
        return torch.cat(heads, dim=1) @ self.layer(layer, "attention.out.weight").T


class SlowGroupedWithValueTables(SlowGrouped):
    """Tables as wide as the two value heads."""

    def values(self, v, x, tokens, layer, head):
        table = self.p[f"shared.value_embeddings.{layer % 2}.weight"]
        assert table.shape[1] == 2 * self.shape.head_dim
        own, share = (self.layer(layer, f"attention.attend.value_embeddings.{name}") for name in ("own", "table"))
        columns = slice(head * self.shape.head_dim, (head + 1) * self.shape.head_dim)
        return own * v + share * table[tokens][:, columns]


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(shape=FOUR, gqa={"kv_heads": 2}), SlowGrouped)


def test_with_value_embeddings(build):
    run = build(shape=FOUR, gqa={"kv_heads": 2}, value_embeddings={"layout": "sparse"})
    assert_equals_slow_model(run, SlowGroupedWithValueTables)


def test_as_many_key_heads_as_heads_are_the_plain_model_to_the_bit(build, batch):
    tokens, _ = batch()
    plain, run = build(), build(gqa={"kv_heads": 2})
    assert torch.equal(run.model.logits(tokens, run.dials.values), plain.model.logits(tokens, plain.dials.values))


@pytest.mark.parametrize(("heads", "wanted"), [(8, 2), (4, 1), (6, 1), (2, 1)])
def test_by_default_a_quarter_of_the_heads(build, heads, wanted):
    run = build(shape={"dim": 8 * heads, "heads": heads}, gqa={})
    assert run.assembly.params["blocks.0.attention.k.weight"].shape == (wanted * 8, 8 * heads)


def test_windows_and_documents_hold_for_shared_keys_in_bf16(build, batch):
    run = shake(build(shape=FOUR, config={"data": {"document_mask": True}}, gqa={}, rope={}, window_warmup={"step": 4}))
    tokens, targets = batch()
    tokens[:, 5] = 0
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    exact, _ = run.model(tokens, targets, run.dials.values)
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=2e-2)


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match=r"gqa: kv_heads \(3\) must divide model.heads \(4\)"):
        build(shape=FOUR, gqa={"kv_heads": 3})
    with pytest.raises(ConfigError, match=r"plugins\.gqa\.kv_heads"):
        build(gqa={"kv_heads": 0})
