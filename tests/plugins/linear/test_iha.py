import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowMixed(SlowGPT):
    """Rows of the projections are mixed before anything reads them."""

    def layer(self, layer, name):
        weight = super().layer(layer, name)
        path = f"blocks.{layer}.{name.removesuffix('.weight')}.head_mix"
        if path not in self.p:
            return weight
        mix, heads = self.p[path], weight.split(16)
        return torch.cat([sum(mix[h, m] * heads[m] for m in range(2)) for h in range(2)])


@pytest.mark.parametrize("of", [["q", "k", "v"], ["v"]])
def test_heads_are_mixed_by_rows(build, of):
    run = build(iha={"of": of})
    assert sum(path.endswith("head_mix") for path in run.assembly.params) == 4 * len(of)
    assert_equals_slow_model(run, SlowMixed)


def test_training_starts_as_without_it(build, batch):
    run, plain, (tokens, _) = build(iha={}), build(), batch()
    found = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)
    assert torch.equal(run.assembly.params["blocks.1.attention.k.head_mix"], torch.eye(2))


def test_it_does_not_decay_and_grouped_keys_clash(build):
    run = build(iha={})
    (stack,) = (stack for stack in run.optimizer.stacks if stack.group.role == "gate")
    assert not stack.weight_decay.any()
    with pytest.raises(PluginError, match=r"'gqa' and 'iha'|'iha' and 'gqa'"):
        build(iha={}, gqa={"kv_heads": 1})
