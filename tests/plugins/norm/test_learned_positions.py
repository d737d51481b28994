import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm

TABLE = "entry_norm.learned_positions"


class SlowTable(SlowGPT):
    """Rotations turn nothing where there is one angle: every frequency is zero in this test's model."""

    def embed(self, tokens):
        return torch.stack([self.p["embedding.weight"][token] + self.p[TABLE][t] for t, token in enumerate(tokens)])


class SlowNormedTable(SlowTable):
    def embed(self, tokens):
        return rms_norm(super().embed(tokens))


def still(run):
    for block in run.model.blocks:
        position = block.attention.inner.position
        position.cos.fill_(1)
        position.sin.fill_(0)
    return run


@pytest.mark.parametrize(("others", "slow"), [({}, SlowTable), ({"norm_after_embed": {}}, SlowNormedTable)])
def test_the_whole_model_equals_the_definition(build, others, slow):
    assert_equals_slow_model(still(build(learned_positions={}, rope={}, **others)), slow)


def test_a_role_and_a_start_like_the_plain_models_table(build):
    run = build(learned_positions={}, rope={})
    assert run.assembly.infos[TABLE].role == "embedding"
    assert run.assembly.params[TABLE].shape == (24, 32)
    assert float(run.assembly.params[TABLE].detach().std()) == pytest.approx(0.02, rel=0.1)


def test_the_plain_model_has_them_already(build):
    with pytest.raises(PluginError, match="'learned_positions' needs 'rope'"):
        build(learned_positions={})
