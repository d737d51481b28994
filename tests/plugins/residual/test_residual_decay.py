import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowDecay(SlowGPT):
    def connect(self, h, y, layer, branch):
        own = f"{branch}.connection.residual_decay"
        keep = self.p.get(f"blocks.{layer}.{own}.keep", 1.0)
        return keep * h + self.layer(layer, f"{own}.share") * y


@pytest.mark.parametrize("per", ["sublayer", "layer"])
def test_the_whole_model_equals_the_definition(build, per):
    assert_equals_slow_model(build(residual_decay={"per": per}), SlowDecay)


@pytest.mark.parametrize(("per", "each"), [("sublayer", 2), ("layer", 1)])
def test_a_silent_layer_multiplies_the_stream_by_growth(build, per, each):
    run = build(residual_decay={"per": per, "growth": 1.3}, zero_init={})
    keeps = [value for path, value in run.assembly.params.items() if path.endswith("residual_decay.keep")]
    assert len(keeps) == 4 * each
    assert all(float(keep.detach()) == pytest.approx(1.3 if each == 1 else math.sqrt(1.3)) for keep in keeps)
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    ctx = run.model._context(torch.ones(2, 5, dtype=torch.long), run.dials.values)
    torch.testing.assert_close(run.model.stack(x, ctx), 1.3**4 * x, rtol=1e-5, atol=0)


def test_growth_of_one_starts_as_the_plain_model(build, batch):
    (tokens, _), plain, run = batch(), build(), build(residual_decay={"growth": 1})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)


def test_rates_and_decay(build):
    rules = build(residual_decay={"lr": 5, "share_lr": 0}).assembly.rules
    found = {(path.rpartition(".")[2], rule.lr, rule.weight_decay) for path, rule in rules.items() if "decay." in path}
    assert found == {("keep", 5, 0), ("share", 0, 0)}


def test_ngpt_is_refused(build):
    with pytest.raises(PluginError, match="'residual_decay' and 'ngpt'"):
        build(residual_decay={}, ngpt={})
