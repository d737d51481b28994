import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowDifferential(SlowGPT):
    def attention(self, x, tokens, layer):
        of = lambda name: self.layer(layer, f"attention.{name}")  # noqa: E731
        width, start = self.shape.head_dim, 0.8 - 0.6 * math.exp(-0.3 * layer)
        a, b, c, d = (of(f"lambda_{name}") for name in "abcd")
        factor = torch.exp(a @ b) - torch.exp(c @ d) + start
        pairs = []
        for pair in range(self.shape.heads // 2):
            v = x @ of("v.weight")[pair * 2 * width : (pair + 1) * 2 * width].T
            rows = []
            for t in range(len(tokens)):
                maps = []
                for head in (2 * pair, 2 * pair + 1):
                    part = slice(head * width, (head + 1) * width)
                    q, k = of("q.weight")[part] @ x[t], x[: t + 1] @ of("k.weight")[part].T
                    maps.append(torch.softmax(k @ q / math.sqrt(width), 0))
                rows.append((1 - start) * rms_norm((maps[0] - factor * maps[1]) @ v[: t + 1]) * of("gain"))
            pairs.append(torch.stack(rows))
        return torch.cat(pairs, 1) @ of("out.weight").T


@pytest.mark.parametrize("heads", [2, 4])
def test_the_whole_model_equals_the_definition(build, heads):
    assert_equals_slow_model(build(differential={}, shape={"depth": 2, "heads": heads}), SlowDifferential)


def test_it_works_under_masks_and_in_bf16(build, batch):
    tokens, targets = batch()
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        run = build(differential={}, window_warmup={"start": 4, "step": 4}, config={"data": {"document_mask": True}})
        run.dials.set(run.timeline.clock(0))
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss, _ = run.model(tokens, targets, run.dials.values)
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_heads_come_in_pairs(build):
    with pytest.raises(PluginError, match="heads come in pairs"):
        build(differential={}, shape={"dim": 36, "heads": 3})
