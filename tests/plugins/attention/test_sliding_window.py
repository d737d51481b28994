import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowWindow(SlowGPT):
    """A query that may see a key is asked about each key by itself."""

    @staticmethod
    def sees(layer, t, s):
        return s > t - 3

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            out = []
            for t in range(len(tokens)):
                seen = [s for s in range(t + 1) if self.sees(layer, t, s)]
                weights = [torch.exp(q[t] @ k[s] / math.sqrt(width)) for s in seen]
                out.append(sum(weight * v[s] for s, weight in zip(seen, weights, strict=True)) / sum(weights))
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ self.layer(layer, "attention.out.weight").T


class SlowLayout(SlowWindow):
    """Short, everything, long, and from the start again."""

    @staticmethod
    def sees(layer, t, s):
        return (t - s < 2, True, t - s < 4)[layer % 3]


class SlowBlocks(SlowWindow):
    """Two blocks of two keys: the query's own and the one before."""

    @staticmethod
    def sees(layer, t, s):
        return 0 <= t // 2 - s // 2 < 2


@pytest.mark.parametrize(
    ("options", "slow"),
    [
        ({"window": 3}, SlowWindow),
        ({"window": 4, "short": 2, "layout": "SFL"}, SlowLayout),
        ({"window": 4, "block": 2}, SlowBlocks),
    ],
)
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(sliding_window=options), slow)


def windows(run):
    """What each layer's last query sees of 24 keys, by its masks."""
    tokens = torch.ones(1, 24, dtype=torch.long)
    ctx = run.model._context(tokens, run.dials.values)
    masks = [ctx.masks[block.attention.inner.attend.mask] for block in run.model.blocks]
    return [24 if mask is None else int(mask[0, 0, -1].sum()) for mask in masks]


def test_layouts_of_the_records(build):
    run = build(shape={"depth": 12}, sliding_window={"window": 12, "short": 6, "layout": "LSSSLSSLSSSL"})
    assert windows(run) == [12, 6, 6, 6, 12, 6, 6, 12, 6, 6, 6, 12]
    run = build(
        shape={"depth": 11}, sliding_window={"layout": "SSSLSS-SSSL", "block": 4}, drop_layers={"attention": [6]}
    )
    blocks = [block.attention.inner for block in run.model.blocks]
    ctx = run.model._context(torch.ones(1, 24, dtype=torch.long), run.dials.values)
    seen = [int(ctx.masks[part.attend.mask][0, 0, -1].sum()) for i, part in enumerate(blocks) if i != 6]
    assert seen == [4, 4, 4, 12, 4, 4, 4, 4, 4, 12]


def test_a_window_as_long_as_the_context_hides_nothing(build):
    run = build(sliding_window={"window": 24})
    assert windows(run) == [24] * 4
    assert list(run.model.mask_rules) == [()]


def test_beside_a_moving_window_both_hold(build):
    run = build(sliding_window={"window": 8, "layout": "LF"}, window_warmup={"start": 4, "final": 16, "step": 4})
    run.dials.set(run.timeline.clock(0))
    assert windows(run) == [4, 4, 4, 4]
    run.dials.set(run.timeline.clock(run.timeline.steps))
    assert windows(run) == [8, 16, 8, 16]


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ConfigError, match=r"window \(5\) must be a multiple of block \(2\)"):
        build(sliding_window={"window": 5, "block": 2})
    with pytest.raises(ConfigError, match=r"short \(6\) may not exceed window \(4\)"):
        build(sliding_window={"window": 4, "short": 6})
    with pytest.raises(PluginError, match=r"short \(20\) exceeds window \(12\), half of the context"):
        build(sliding_window={"short": 20, "layout": "S"})
    with pytest.raises(ConfigError, match=r"plugins\.sliding_window\.layout"):
        build(sliding_window={"layout": "LX"})
