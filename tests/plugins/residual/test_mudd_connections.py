import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu, rms_norm


def slow_with(blocks: tuple[int, ...], sources: tuple[int, ...], scale: float) -> type[SlowGPT]:
    class SlowMudd(SlowGPT):
        def row(self, tokens):
            h = self.embed(tokens)
            held = [h]
            for layer in range(self.shape.depth):
                h = h + self.attention(self.norm(h), tokens, layer)
                h = h + self.mlp(self.norm(h), layer)
                held.append(h)
                offered = [j for j in sources if j < len(held)]
                if layer in blocks and offered:
                    own = {name: self.layer(layer, f"mudd_connections.{name}") for name in NAMES}
                    made = gelu(rms_norm(h) @ own["inner.weight"].T) @ own["outer.weight"].T + own["bias"]
                    h = h + sum(scale * made[:, place, None] * held[j] for place, j in enumerate(offered))
                    held[-1] = h
            return self.norm(h) @ self.p["head.out.weight"].T

    return SlowMudd


NAMES = ("inner.weight", "outer.weight", "bias")


@pytest.mark.parametrize(
    ("options", "slow"),
    [
        ({"width": 5}, slow_with((0, 1, 2), (0, 1, 2, 3), 0.1)),
        ({"width": 5, "blocks": (1, 2), "sources": (0, 2), "scale": 0.7}, slow_with((1, 2), (0, 2), 0.7)),
    ],
)
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(mudd_connections=options, shape={"depth": 3}), slow)


def test_it_starts_as_the_plain_model_and_learns_through_the_outer_map_and_the_bias(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(mudd_connections={})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    run.model(tokens, targets, run.dials.values)[0].backward()
    inner, outer, bias = (run.assembly.params[f"blocks.1.mudd_connections.{name}"] for name in NAMES)
    assert outer.grad.any()
    assert bias.grad.all()
    assert not inner.grad.any()
    assert float(inner.detach().std()) == pytest.approx(1 / math.sqrt(3 * 32), rel=0.1)


def test_rates_roles_and_decay(build):
    run = build(mudd_connections={"lr": 0.25}, shape={"depth": 1})
    found = {path: rule for path, rule in run.assembly.rules.items() if "mudd" in path}
    assert {rule.lr for rule in found.values()} == {0.25}
    assert [path for path, rule in found.items() if not rule.weight_decay] == ["blocks.0.mudd_connections.bias"]
    assert {run.assembly.infos[path].role for path in found} == {"gate", "scalar"}


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="blocks 4 of a model with 4 layers"):
        build(mudd_connections={"blocks": (4,)})
    with pytest.raises(PluginError, match="sources 5 of a model with 4 layers"):
        build(mudd_connections={"sources": (5,)})
