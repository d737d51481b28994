import math

import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake


class SlowSinks(SlowGPT):
    """One more score in every softmax, of nothing."""

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            sink = torch.exp(self.layer(layer, "attention.attend.sink")[head])
            outputs = []
            for t in range(len(tokens)):
                weights = torch.exp(k[: t + 1] @ q[t] / math.sqrt(width))
                outputs.append((weights / (weights.sum() + sink)) @ v[: t + 1])
            heads.append(torch.stack(outputs))
        return torch.cat(heads, dim=1) @ self.layer(layer, "attention.out.weight").T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(sinks={"start": 0.7}), SlowSinks)


def test_a_sink_far_below_every_score_is_the_plain_model(build, batch):
    tokens, _ = batch()
    plain, run = build(), build(sinks={"start": -100})
    wanted = plain.model.logits(tokens, plain.dials.values)
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values), wanted, rtol=0, atol=1e-6)


def test_under_a_window_and_with_shared_keys_only_seen_scores_count(build, batch):
    run = shake(build(gqa={}, sinks={"start": 100}, window_warmup={"step": 4}))
    with torch.no_grad():
        for path, value in run.assembly.params.items():
            if path.endswith("sink"):
                value.fill_(1000)
    silent = [block.attention.inner for block in run.model.blocks]
    found = []
    silent[0].attend.register_forward_hook(lambda module, inputs, output: found.append(output))
    run.model.logits(batch()[0], run.dials.values)
    assert not found[0].any()
