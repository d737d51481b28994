import math

import pytest
import torch
from coregpt_plugins.optimizer.uniform_init import uniform_of
from scipy import stats

from coregpt.contract.errors import PluginError


def test_normal_numbers_become_uniform_ones_whatever_their_size():
    drawn = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for size in (1.0, 0.02):
        found = uniform_of(size * drawn, 0.1)
        bound = 0.1 * math.sqrt(3)
        assert float(found.abs().max()) <= bound
        assert float(found.std()) == pytest.approx(0.1, rel=0.005)
        assert stats.kstest(found.numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01
        assert torch.equal(found.argsort(), drawn.argsort())
    assert not uniform_of(torch.zeros(3, 4), 0.1).any()


def test_every_matrix_and_nothing_else(build):
    run, plain = build(uniform_init={"factor": 0.5}), build()
    for path, value in run.assembly.params.items():
        if run.assembly.infos[path].role != "matrix":
            assert torch.equal(value, plain.assembly.params[path])
            continue
        a = 0.5 / math.sqrt(value.shape[-1])
        assert float(value.detach().std()) == pytest.approx(a, rel=0.05)
        assert float(value.detach().abs().max()) <= a * math.sqrt(3)
    assert run.assembly.params["blocks.0.mlp.down.weight"].shape[-1] == 128


def test_what_starts_at_zero_stays_there_and_other_words_on_size_clash(build):
    assert not build(uniform_init={}, zero_init={}).assembly.params["blocks.0.mlp.down.weight"].any()
    for other in ("mup", "ngpt"):
        with pytest.raises(PluginError, match=f"'uniform_init' and '{other}'"):
            build(uniform_init={}, **{other: {}})
