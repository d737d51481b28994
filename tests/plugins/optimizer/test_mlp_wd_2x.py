import pytest
import torch

from coregpt.contract.errors import ConfigError


def test_matrices_of_mlps_decay_by_the_factor_and_all_else_as_before(build):
    runs = [build(muon={"weight_decay": 0.1}, moe={}, **plugins) for plugins in ({}, {"mlp_wd_2x": {"factor": 3}})]
    seen = 0
    for plain, other in zip(*(run.optimizer.stacks for run in runs), strict=True):
        assert torch.equal(plain.lr, other.lr)
        for row, path in enumerate(plain.paths):
            inside = plain.group.role == "matrix" and ".mlp." in path
            seen += inside
            torch.testing.assert_close(other.weight_decay[row], plain.weight_decay[row] * (3 if inside else 1))
    assert seen


def test_weights_without_gradient_are_a_product_of_factors(build):
    run = build(muon={"weight_decay": 0.5, "lr": 0.1}, mlp_wd_2x={})
    path = "blocks.1.mlp.up.weight"
    start = run.assembly.params[path].detach().clone()
    for _ in range(3):
        run.optimizer.step(1.0, run.dials.values)
    torch.testing.assert_close(run.assembly.params[path].detach(), start * (1 - 0.1 * 0.5 * 2) ** 3)


def test_a_negative_factor_is_refused(build):
    with pytest.raises(ConfigError, match=r"plugins\.mlp_wd_2x\.factor"):
        build(mlp_wd_2x={"factor": -1})
