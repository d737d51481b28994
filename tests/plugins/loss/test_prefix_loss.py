import math

import pytest
import torch

from coregpt.contract.config import InputSource
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.engine import weights
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

TABLE = [v // 3 if v % 3 else -1 for v in range(50)]
"""Of fewer ids than the model has rows."""


@pytest.fixture
def told(build, tmp_path):
    """A run with a table of prefixes."""

    def make(table=None, name="prefix", **options):
        weights.write(tmp_path / "given.pt", weights.Weights({name: torch.tensor(TABLE if table is None else table)}))
        given = {"prefixes": InputSource(file=str(tmp_path / "given.pt"))}
        return build(prefix_loss=options, config={"inputs": given})

    return make


class SlowPrefixes(SlowGPT):
    def loss(self, tokens, targets):
        logits, total = self.logits(tokens), super().loss(tokens, targets)
        for b in range(tokens.shape[0]):
            for t in range(tokens.shape[1]):
                target = int(targets[b, t])
                if target < 50 and TABLE[target] >= 0:
                    chance = torch.exp(logits[b, t]) / torch.exp(logits[b, t]).sum()
                    total = total - 0.3 * torch.log(chance[TABLE[target]]) / tokens.numel()
        return total


def test_the_loss_asks_for_the_prefix_too(told):
    assert_equals_slow_model(told(weight=0.3), SlowPrefixes)


def test_the_weight_falls_and_goes(told):
    run = told(weight=0.4, hold=0.25, end=0.75)
    found = [float(run.dials.schedules["prefix_loss.weight"](run.timeline.clock(step))) for step in range(10)]
    wanted = [0.4, 0.4, *(0.4 * (8 - step) / 6 for step in range(2, 8)), 0, 0]
    assert found == pytest.approx(wanted)


def test_weight_zero_asks_for_the_table_and_adds_no_loss(told, build, batch):
    run, plain, (tokens, targets) = told(weight=0.0), build(), batch()
    assert torch.equal(*(each.model(tokens, targets, each.dials.values)[0] for each in (run, plain)))


def test_tables_that_do_not_fit_are_refused(told, build):
    with pytest.raises(PluginError, match=r"'prefixes' must hold one table 'prefix' of at most 61 ids"):
        told(name="other")
    with pytest.raises(PluginError, match="at most 61 ids"):
        told(table=[-1] * 62)
    with pytest.raises(PluginError, match="ids outside of -1 to 60"):
        told(table=[61])
    with pytest.raises(PluginError, match="the input 'prefixes', which the run does not have"):
        build(prefix_loss={})
    with pytest.raises(ConfigError, match="may not be before hold"):
        build(prefix_loss={"hold": 0.5, "end": 0.4})
    assert math.isclose(told().dials.values["prefix_loss.weight"], 0.25)
