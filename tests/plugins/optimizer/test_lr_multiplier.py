import pytest
import torch

from coregpt.contract.errors import ConfigError


def test_every_rate_is_multiplied(build):
    run, plain = build(lr_multiplier={"factor": 3}, muon={}, smear={"lr": 5}), build(muon={}, smear={"lr": 5})
    for one, other in zip(run.optimizer.stacks, plain.optimizer.stacks, strict=True):
        assert one.paths == other.paths
        torch.testing.assert_close(one.lr, 3 * other.lr)
        assert torch.equal(one.weight_decay, other.weight_decay)


def test_it_must_be_positive(build):
    with pytest.raises(ConfigError, match=r"plugins\.lr_multiplier\.factor"):
        build(lr_multiplier={"factor": 0})
