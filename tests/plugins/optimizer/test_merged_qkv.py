import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.optimizer.slow import random, slow_polar
from tests.plugins.optimizer.test_circuit_muon import PATHS, dials, rule_of


def test_the_three_of_a_layer_have_one_polar_factor(build):
    run = build(muon={"polar": "ns12", "momentum": 0.0}, merged_qkv={})
    group = next(stack.group for stack in run.optimizer.stacks if stack.group.shape == (32, 32))
    rule = run.assembly.hook.make_update(group=group)
    p = torch.zeros(len(group.paths), 32, 32).double()
    g = random(*p.shape)
    got = rule.direction(p, g, rule.init(p), dials(list(range(len(p)))))
    for layer in range(4):
        at = [group.paths.index(f"blocks.{layer}.attention.{name}.weight") for name in "qkv"]
        wanted = slow_polar(torch.cat([g[i] for i in at])) * math.sqrt(3)
        torch.testing.assert_close(torch.cat([got[i] for i in at]), wanted, rtol=0, atol=1e-6)
        out = group.paths.index(f"blocks.{layer}.attention.out.weight")
        torch.testing.assert_close(got[out], slow_polar(g[out]), rtol=0, atol=1e-6)


def test_a_part_of_the_stack_gives_its_rows_of_the_same(build):
    p, g = torch.zeros(len(PATHS), 32, 32).double(), random(len(PATHS), 32, 32)
    whole = rule_of(build, merged_qkv={})
    wanted = whole.direction(p, g, whole.init(p), dials(list(range(12))))
    rule, rows = rule_of(build, merged_qkv={}), [5, 6, 7, 12]
    first = whole_of(whole, g)
    rule.members.all_reduce = lambda tensor: torch.cat((first, tensor[-1:]))
    mine = torch.cat((g[5:8], torch.zeros(1, 32, 32).double()))
    got = rule.direction(torch.zeros_like(mine), mine, rule.init(mine), dials(rows))
    torch.testing.assert_close(got[:3], wanted[5:8], rtol=1e-10, atol=1e-12)


def whole_of(rule, g):
    """What Muon would orthogonalise in a first step: gradient and momentum averaged."""
    mu = rule.muon.options.momentum
    return (1 - mu) * g + mu * (1 - mu) * g


def test_one_of_the_three_moves_another(build):
    """Unlike three factors: a gradient outside of a matrix changes its update."""
    p, g = torch.zeros(len(PATHS), 32, 32).double(), random(len(PATHS), 32, 32)
    other = g.clone()
    other[1] *= 100
    for plugins, same in (({}, True), ({"merged_qkv": {}}, False)):
        rule = rule_of(build, **plugins)
        first, second = (rule.direction(p, each, rule.init(p), dials(list(range(12))))[0] for each in (g, other))
        assert torch.allclose(first, second) == same


@pytest.mark.parametrize("other", ["soap_muon", "k_maxwell", "update_smoothing", "contra_muon"])
def test_rules_with_a_state_go_around_it(build, other):
    """They keep a row for each matrix, and would not know what to do with three in one."""
    run = build(muon={}, merged_qkv={}, **{other: {}})
    for step in range(1, 3):
        for value in run.assembly.params.values():
            value.grad.normal_(generator=torch.Generator().manual_seed(step))
        run.optimizer.step(1.0, run.dials.values)
    assert all(torch.isfinite(value).all() for value in run.assembly.params.values())


def test_it_clashes_with_the_other_way_to_group(build):
    with pytest.raises(PluginError, match="'merged_qkv' and 'muon_grouping'"):
        build(muon={}, merged_qkv={}, muon_grouping={})
