import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.optimizer.slow import directions, random, rule_of


def test_five_steps_number_by_number(build):
    gradients = [random(2, 3, 4, seed=seed) for seed in range(5)]
    got, state = directions(rule_of(build, (3, 4), lion={"beta1": 0.8, "beta2": 0.6}), gradients)
    for where in [(n, i, j) for n in range(2) for i in range(3) for j in range(4)]:
        m = 0.0
        for step, g in enumerate(float(each[where]) for each in gradients):
            blend = 0.8 * m + 0.2 * g
            assert float(got[step][where]) == (blend > 0) - (blend < 0)
            m = 0.6 * m + 0.4 * g
        assert float(state["m"][where]) == pytest.approx(m, abs=1e-12)


def test_no_gradient_is_no_step(build):
    got, _ = directions(rule_of(build, (3, 4), lion={}), [torch.zeros(1, 3, 4)] * 3)
    assert not any(update.any() for update in got)


def test_a_step_of_the_whole_model_moves_every_weight_by_the_rate(build, batch):
    run = build(lion={"lr": 0.01, "weight_decay": 0.2})
    start = {path: p.detach().clone() for path, p in run.assembly.params.items()}
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)[0].backward()
    signs = {path: p.grad.sign().clone() for path, p in run.assembly.params.items()}
    run.optimizer.step(1.0, run.dials.values)
    for path, p in run.assembly.params.items():
        wanted = start[path] * (1 - 0.01 * 0.2) - 0.01 * signs[path]
        torch.testing.assert_close(p.detach(), wanted, rtol=0, atol=1e-6, msg=path)


def test_roles_leave_the_rest_to_others(build):
    others = ["embedding", "head", "table", "gate", "scalar"]
    run = build(muon={}, lion={"roles": others})
    kinds = {stack.group.role: type(stack.rule).__name__ for stack in run.optimizer.stacks}
    assert kinds == {"embedding": "Signed", "head": "Signed", "matrix": "Orthogonal"}
    with pytest.raises(PluginError, match="claimed by 'lion' and 'muon'"):
        build(muon={}, lion={})


@pytest.mark.parametrize("options", [{"beta2": 1}, {"roles": ["matrices"]}])
def test_bad_options_are_named(build, options):
    with pytest.raises(ConfigError, match=rf"plugins\.lion\.{next(iter(options))}"):
        build(lion=options)
