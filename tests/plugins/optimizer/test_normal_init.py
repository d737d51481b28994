import math

import pytest
import torch

from coregpt.contract.errors import PluginError


def test_sizes_are_the_declared_ones_and_directions_stay(build):
    run, plain = build(normal_init={"gain": 0.5}), build()
    for path, value in run.assembly.params.items():
        info, before = run.assembly.infos[path], plain.assembly.params[path]
        if info.role == "matrix":
            wanted = 0.5 / math.sqrt(value.shape[-1])
        elif info.role == "embedding" and len(value.shape) == 2:
            wanted = 1.0
        else:
            assert torch.equal(value, before)
            continue
        assert float(value.detach().square().mean().sqrt()) == pytest.approx(wanted, rel=1e-5)
        ratio = (value / before).detach()
        torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.flatten()[0])))


def test_tables_have_a_size_of_their_own(build):
    run = build(value_embeddings={}, normal_init={"table": 2.0})
    tables = [value for path, value in run.assembly.params.items() if run.assembly.infos[path].role == "table"]
    assert tables
    for value in tables:
        assert float(value.detach().square().mean().sqrt()) == pytest.approx(2.0, rel=1e-5)


def test_what_starts_at_zero_stays_there_and_other_words_on_size_clash(build):
    assert not build(normal_init={"gain": 0.5}, zero_init={}).assembly.params["blocks.0.mlp.down.weight"].any()
    for other in ("mup", "ngpt"):
        with pytest.raises(PluginError, match=f"'normal_init' and '{other}'|'{other}' and 'normal_init'"):
            build(normal_init={}, **{other: {}})
    build(normal_init={}, uniform_init={})
