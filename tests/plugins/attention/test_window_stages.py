import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock

RECORD = {
    "long": (0.1875, 0.4375, 0.6875),
    "short": (0.0625, 0.1875, 0.3125),
    "step": 128,
    "block": 128,
}


def windows(run, step, steps):
    run.dials.set(Clock(step, steps))
    return float(run.dials.values["window"]), float(run.dials.values["window.short"])


def test_the_records_windows_and_where_they_change(build):
    run = build(window_stages=RECORD, shape={"context": 2048})
    found = [windows(run, step, 1270) for step in (0, 422, 423, 846, 847, 1269)]
    blocks = [(long // 128, short // 128) for long, short in found]
    assert blocks == [(3, 1), (3, 1), (7, 3), (7, 3), (11, 5), (11, 5)]


def test_fractions_and_rounding(build):
    options = {"long": (0.3, 1), "short": (0.1, 0.5), "fractions": (0.25, 0.75), "step": 5}
    run = build(window_stages=options)
    assert [windows(run, step, 40) for step in (0, 9, 10, 39)] == [(10, 5), (10, 5), (25, 15), (25, 15)]


@pytest.mark.parametrize("step", [0, 20, 39])
def test_each_layer_sees_the_last_keys_of_its_window(build, step):
    """Which tokens move a query's output, layer by layer."""
    run = build(window_stages={"long_layers": (2,)})
    run.dials.set(Clock(step, 40))
    share = {0: (0.1875, 0.0625), 20: (0.4375, 0.1875), 39: (0.6875, 0.3125)}[step]
    ctx = run.model._context(torch.ones(1, 24, dtype=torch.long), run.dials.values)
    for layer, block in enumerate(run.model.blocks):
        width = -int(-24 * share[0 if layer == 2 else 1] // 1)
        x = torch.randn(1, 24, 32, generator=torch.Generator().manual_seed(layer)).requires_grad_()
        block.attention.inner(x, ctx)[0, 20].sum().backward()
        seen = x.grad[0].abs().sum(-1).nonzero().flatten().tolist()
        assert seen == list(range(max(0, 21 - width), 21))


@pytest.mark.parametrize(("depth", "long"), [(4, {1, 3}), (11, {3, 10}), (12, {3, 11}), (1, {0})])
def test_the_default_long_layers_are_the_records(build, depth, long):
    run = build(window_stages={}, shape={"depth": depth})
    found = [run.model.mask_rules[block.attention.inner.attend.mask][0].dial for block in run.model.blocks]
    assert {layer for layer, dial in enumerate(found) if dial == "window"} == long


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ConfigError, match="short has 2 entries, but long has 3 stages"):
        build(window_stages={"short": (0.1, 0.2)})
    with pytest.raises(ConfigError, match=r"fractions must sum to 1, not 0\.9"):
        build(window_stages={"fractions": (0.3, 0.3, 0.3)})
    with pytest.raises(ConfigError, match=r"step \(8\) must be a multiple of block \(3\)"):
        build(window_stages={"step": 8, "block": 3})
    with pytest.raises(PluginError, match="long layer 9 of a model with 4 layers"):
        build(window_stages={"long_layers": (9,)})
    with pytest.raises(PluginError, match="'window_stages' and 'window_warmup'"):
        build(window_stages={}, window_warmup={})
