import pytest
import torch

from coregpt.contract.errors import ConfigError

SETTINGS = {
    "embedding": {"lr": 28.0},
    "head": {"lr": 0.5, "betas": [0.8, 0.99]},
    "scalar": {"lr": 2.0, "weight_decay": 0.0, "eps": 1e-10},
}


def stacks_of(run):
    return {stack.group.role: stack for stack in run.optimizer.stacks}


def test_every_kind_has_its_own_settings_and_others_keep_theirs(build):
    plugins = {"muon": {"lr": 0.02, "weight_decay": 0.1}, "rmsnorm_gain": {}}
    run, plain = build(**plugins, param_groups=SETTINGS), build(**plugins)
    found, before = stacks_of(run), stacks_of(plain)
    for role, factor in {"embedding": 28.0, "head": 0.5, "scalar": 2.0, "matrix": 1.0}.items():
        torch.testing.assert_close(found[role].lr, factor * before[role].lr)
    assert not found["scalar"].weight_decay.any()
    torch.testing.assert_close(found["matrix"].weight_decay, before["matrix"].weight_decay)
    assert (found["head"].rule.beta1, found["head"].rule.beta2) == (0.8, 0.99)
    assert found["scalar"].rule.eps == 1e-10
    assert (found["embedding"].rule.beta1, found["embedding"].rule.eps) == (
        before["embedding"].rule.beta1,
        before["embedding"].rule.eps,
    )


def test_without_options_it_is_what_the_card_tells(build):
    run, plain = build(rmsnorm_gain={}, param_groups={}), build(rmsnorm_gain={})
    torch.testing.assert_close(stacks_of(run)["embedding"].lr, 3 * stacks_of(plain)["embedding"].lr)
    assert not stacks_of(run)["scalar"].weight_decay.any()


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"matrix": None}, "names no kind"),
        ({"matrices": {}}, "matrices"),
        ({"head": {"rate": 2}}, r"head\.rate"),
        ({"head": {"betas": [0.8, 1.0]}}, r"head\.betas"),
    ],
)
def test_what_it_does_not_know_is_refused(build, given, where):
    with pytest.raises(ConfigError, match=where):
        build(param_groups=given)
