import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


def slow_with(edges: list[tuple[int, int]], gated: bool, channels: int = 12) -> type[SlowGPT]:
    class SlowSkips(SlowGPT):
        def row(self, tokens):
            h = self.embed(tokens)
            first, saved = rms_norm(h), {}
            for layer in range(self.shape.depth):
                for source, target in edges:
                    if target == layer:
                        h = h + self.share(layer, source, first) * saved[source]
                h = h + self.attention(self.norm(h), tokens, layer)
                saved[layer] = h = h + self.mlp(self.norm(h), layer)
            return self.norm(h) @ self.p["head.out.weight"].T

        def share(self, layer, source, first):
            s = self.layer(layer, f"skip_from_{source}.share")
            if not gated:
                return s
            row = self.layer(layer, f"skip_from_{source}.gate.weight")[0]
            opened = sum(row[j] * first[:, j] for j in range(channels))
            return (1 / (1 + torch.exp(-s)) * 2 / (1 + torch.exp(-opened)))[:, None]

    return SlowSkips


@pytest.mark.parametrize(
    ("options", "slow"),
    [
        ({}, slow_with([(1, 2)], True)),
        ({"edges": [(0, 3), (1, 3), (0, 2)], "channels": 5}, slow_with([(0, 3), (1, 3), (0, 2)], True, 5)),
        ({"edges": [(0, 2), (1, 3)], "gated": False}, slow_with([(0, 2), (1, 3)], False)),
    ],
)
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(skip_pattern=options), slow)


@pytest.mark.parametrize(("depth", "edge"), [(2, (0, 1)), (4, (1, 2)), (11, (3, 6)), (12, (3, 6))])
def test_the_default_edge_is_the_records_in_proportion(build, depth, edge):
    params = build(skip_pattern={}, shape={"depth": depth}).assembly.params
    assert f"blocks.{edge[1]}.skip_from_{edge[0]}.share" in params


def test_how_it_starts(build):
    gated, plain = build(skip_pattern={"gate_lr": 0.05}), build(skip_pattern={"gated": False})
    share, gate = "blocks.2.skip_from_1.share", "blocks.2.skip_from_1.gate.weight"
    assert float(gated.assembly.params[share].detach()) == -1.5
    assert float(plain.assembly.params[share].detach()) == 1
    assert not gated.assembly.params[gate].any()
    assert (gated.assembly.rules[share].lr, gated.assembly.rules[gate].lr) == (1, 0.05)
    assert gated.assembly.rules[share].weight_decay == gated.assembly.rules[gate].weight_decay == 0


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ConfigError, match=r"edges go to later layers, but \(2, 1\)"):
        build(skip_pattern={"edges": [(2, 1)]})
    with pytest.raises(PluginError, match=r"edge \(1, 4\) of a model with 4 layers"):
        build(skip_pattern={"edges": [(1, 4)]})
    with pytest.raises(PluginError, match=r"channels \(33\) exceeds model.dim \(32\)"):
        build(skip_pattern={"channels": 33})


@pytest.mark.parametrize("lanes", ["hyper_connections", "partitioned_hc"])
def test_every_lane_of_a_wider_stream_takes_the_same(build, batch, lanes):
    """Lanes that start alike and are written to alike are the plain model's stream."""
    tokens, _ = batch()
    options = {"hyper_connections": {"dynamic": False}, "partitioned_hc": {"first": 1, "cross": 1}}[lanes]
    runs = [build(skip_pattern={}, **plugins) for plugins in ({}, {lanes: options})]
    with torch.no_grad():
        for run in runs:
            run.assembly.params["blocks.2.skip_from_1.gate.weight"].fill_(0.3)
        wanted, got = (run.model.logits(tokens, run.dials.values) for run in runs)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
