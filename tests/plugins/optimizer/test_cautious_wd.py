import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import ParamGroup
from tests.plugins.optimizer.slow import at, random


def decay(build, role="matrix", **plugins):
    return build(cautious_wd={}, **plugins).assembly.hook.make_decay(group=ParamGroup(role, (3, 4), ("w",)))


def amount(rule, p, update, lr=0.1, wd=0.3, step=1):
    one = torch.ones(1, 1, 1, dtype=p.dtype)
    return rule.amount(p, update, lr * one, wd * one, at(step))


@pytest.mark.parametrize(("role", "ties"), [("matrix", True), ("embedding", False), ("scalar", False)])
def test_only_what_the_step_shrinks_decays(build, role, ties):
    p, update = random(1, 3, 4), random(1, 3, 4, seed=1)
    update[0, 0, 0] = p[0, 2, 1] = 0
    got = amount(decay(build, role), p, update)[0]
    for i in range(3):
        for j in range(4):
            sign = float(update[0, i, j] * p[0, i, j])
            keeps = sign > 0 or (ties and sign == 0)
            assert float(got[i, j]) == pytest.approx(0.1 * 0.3 * float(p[0, i, j]) if keeps else 0.0, abs=1e-15)


def test_with_wd_schedule_half_a_rate_is_a_quarter_of_the_decay(build):
    rule = decay(build, wd_schedule={}, wsd={})
    p = random(1, 3, 4).abs()
    one = torch.ones(1, 1, 1, dtype=p.dtype)
    whole, half = (rule.amount(p, p, f * one, one, {"lr": torch.tensor(f)}) for f in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 4)


def test_a_step_of_the_whole_model(build, batch):
    """With the mask the weights differ from those without decay exactly where the step shrinks them."""
    ends = []
    for plugins, wd in (({}, 0.0), ({"cautious_wd": {}}, 0.5)):
        run = build(**plugins, config={"optim": {"lr": 0.01, "weight_decay": wd}})
        start = {path: p.detach().clone() for path, p in run.assembly.params.items()}
        tokens, targets = batch()
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(1.0, run.dials.values)
        ends.append(run.assembly.params)
    for path, before in start.items():
        free, masked = ends[0][path].detach(), ends[1][path].detach()
        shrinks = (before - free) * before > 0
        wanted = torch.where(shrinks, free - 0.01 * 0.5 * before, free)
        torch.testing.assert_close(masked, wanted, rtol=0, atol=1e-6, msg=path)


def test_rules_that_hold_norms_exclude_it(build):
    with pytest.raises(PluginError, match="'cautious_wd' and 'hyperball' conflict"):
        build(cautious_wd={}, hyperball={})
