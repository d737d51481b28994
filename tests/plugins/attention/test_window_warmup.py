import math
from fractions import Fraction

import pytest
import torch

from coregpt.contract.context import Context
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock
from coregpt.engine.attention.attend import build_mask
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

RECORD_13 = {"step": 64, "start": 64, "final": 1792, "rounding": "down"}
RECORD_19 = {"step": 128, "block": 128, "start": 1, "final": 1728}
CUBIC = {"step": 128, "start": 1, "final": 3456, "shape": "cubic"}


def windows(build, steps, **options):
    schedule = build(window_warmup=options).dials.schedules["window"]
    return [schedule(Clock(step, steps)) for step in range(steps + 1)]


def test_record_13(build):
    steps = 1393
    for step, got in enumerate(windows(build, steps, **RECORD_13)):
        q = Fraction(step, steps)
        assert got == 64 * math.floor((q * (1792 - 64) + 64) / 64)


def test_record_19(build):
    steps = 1395
    for step, got in enumerate(windows(build, steps, **RECORD_19)):
        least = max(Fraction(1), 1728 * Fraction(step, steps))
        assert got == next(w for w in range(128, 2000, 128) if w >= least)


def test_the_cubic_of_the_medium_track(build):
    steps = 5960
    got = windows(build, steps, **CUBIC)
    for step, window in enumerate(got):
        q = Fraction(step, steps)
        least = max(Fraction(1), 3456 * (4 * q**3 - 6 * q**2 + 3 * q))
        assert window == next(w for w in range(128, 4000, 128) if w >= least)
    assert got[0] == 128
    assert got[steps // 2] == 1792  # 1728 rounded up
    assert got[-1] == 3456


@pytest.mark.parametrize("options", [RECORD_13, RECORD_19, CUBIC, {}, {"rounding": "down"}, {"final": 50, "start": 9}])
def test_windows_never_shrink_and_are_multiples_of_the_step(build, options):
    got = windows(build, 100, **options)
    assert got == sorted(got)
    assert all(w > 0 and w % options.get("step", 8) == 0 for w in got)
    assert len(set(got)) > 2


def test_by_default_it_ends_at_the_context(build):
    assert windows(build, 40)[0] == 8
    assert windows(build, 40)[39] == windows(build, 40)[40] == 24


class SlowWindow(SlowGPT):
    """Attention that lists, for each position, the keys it may see."""

    window = 3

    def attention(self, x, tokens, layer):
        width, heads = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (x @ self.layer(layer, f"attention.{name}.weight")[rows].T for name in "qkv")
            outputs = []
            for t in range(len(tokens)):
                seen = [j for j in range(t + 1) if self.sees(t, j, layer)]
                weights = torch.stack([torch.exp(q[t] @ k[j] / math.sqrt(width)) for j in seen])
                outputs.append(sum(w * v[j] for w, j in zip(weights, seen, strict=True)) / weights.sum())
            heads.append(torch.stack(outputs))
        return torch.cat(heads, dim=1) @ self.layer(layer, "attention.out.weight").T

    def sees(self, t, j, layer):
        return t - j < self.window


class SlowShort(SlowWindow):
    def sees(self, t, j, layer):
        return t - j < (2 if layer in (0, 2) else 4)


class SlowBlocks(SlowWindow):
    """Windows of 6 and of 3 in blocks of 3: this block and the one before, or this block alone."""

    def sees(self, t, j, layer):
        return t // 3 - j // 3 < (1 if layer == 1 else 2)


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(window_warmup={"step": 3}), SlowWindow)


def test_short_layers_see_half(build):
    assert_equals_slow_model(build(window_warmup={"step": 4, "short_layers": [0, 2]}), SlowShort)


def test_whole_blocks(build):
    assert_equals_slow_model(build(window_warmup={"step": 6, "block": 3, "short_layers": [1]}), SlowBlocks)


def seen_by(run, query, window, length):
    """Positions that one query may look at, by the model's only mask."""
    (rules,) = run.assembly.masks
    mask = build_mask(rules, Context(torch.ones(1, length, dtype=torch.long), {"window": torch.tensor(window)}))
    return mask[0, 0, query].nonzero().flatten().tolist()


def test_record_13_sees_w_keys_and_record_19_whole_blocks(build):
    long = {"shape": {"context": 2048}}
    assert seen_by(build(window_warmup=RECORD_13, **long), 384, 256.0, 512) == list(range(129, 385))
    assert seen_by(build(window_warmup=RECORD_19, **long), 384, 256.0, 512) == list(range(256, 385))
    assert seen_by(build(window_warmup=RECORD_19, **long), 383, 256.0, 512) == list(range(128, 384))


def test_the_window_moves_with_the_dial(build, batch):
    run, (tokens, _) = build(window_warmup={}), batch()
    full = build()
    run.dials.set(run.timeline.clock(0))
    first = run.model.logits(tokens, run.dials.values)
    wanted = full.model.logits(tokens, full.dials.values)
    torch.testing.assert_close(first[:, :8], wanted[:, :8], rtol=0, atol=1e-6)
    assert not torch.allclose(first[:, 8], wanted[:, 8], atol=1e-6)
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values), wanted, rtol=0, atol=1e-6)


def test_layers_of_one_kind_share_a_mask_and_a_window_that_never_bites_is_no_mask(build):
    assert len(build(window_warmup={}).assembly.masks) == 1
    assert len(build(window_warmup={"short_layers": [1]}).assembly.masks) == 2
    never = build(window_warmup={"start": 24, "final": 100}).assembly.masks
    assert list(never) == [()]
    half = build(window_warmup={"start": 24, "final": 100, "short_layers": [1]}).assembly.masks
    assert len(half) == 2


def test_what_does_not_fit_the_model_is_refused(build):
    with pytest.raises(PluginError, match=r"start \(64\) exceeds the context \(24\)"):
        build(window_warmup={"step": 64})
    with pytest.raises(PluginError, match=r"short_layers \(1, 4\) of a model with 4 layers"):
        build(window_warmup={"short_layers": [1, 4]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, r"plugins\.window_warmup\.step"),
        ({"block": 3}, r"step \(8\) must be a multiple of block \(3\)"),
        ({"start": 64, "final": 32}, r"start \(64\) may not exceed final \(32\)"),
        ({"start": 4, "rounding": "down"}, r"start \(4\) below step \(8\)"),
        ({"short_layers": [-1]}, r"plugins\.window_warmup\.short_layers"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(window_warmup=options)
