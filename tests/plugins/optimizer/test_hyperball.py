import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.optimizer.slow import length


def steps(run, batch, number):
    """Train; (path, matrix before, after) of every step."""
    for step in range(number):
        before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
        tokens, targets = batch(seed=step)
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(1.0, run.dials.values)
        for path, p in run.assembly.params.items():
            if run.assembly.infos[path].role == "matrix":
                yield path, before[path], p.detach().double()


def test_the_first_step_of_adam_on_the_sphere_by_hand(build, batch):
    run = build(hyperball={"lr": 0.2}, config={"optim": {"grad_clip": 0, "eps": 1e-30}})
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)[0].backward()
    signs = {path: p.grad.double().sign() for path, p in run.assembly.params.items()}
    run.optimizer.clear()
    for path, before, after in steps(run, batch, 1):
        w, u = before.flatten().tolist(), signs[path].flatten().tolist()
        share = 0.2 * length(before) / math.sqrt(sum(x * x for x in u))
        moved = [x - share * y for x, y in zip(w, u, strict=True)]
        scale = length(before) / math.sqrt(sum(x * x for x in moved))
        wanted = torch.tensor([x * scale for x in moved], dtype=torch.float64).view_as(before)
        torch.testing.assert_close(after, wanted, rtol=0, atol=1e-5, msg=path)


@pytest.mark.parametrize("rule", [{}, {"muon": {}}, {"muon": {}, "normuon": {}}, {"soap": {}}])
def test_norms_stay_and_no_step_turns_further_than_the_rate(build, batch, rule):
    run = build(hyperball={"lr": 0.1}, config={"tokens": 400 * 24}, **rule)
    for path, before, after in steps(run, batch, 12):
        assert length(after) == pytest.approx(length(before), rel=1e-5), path
        cosine = float((before * after).sum()) / (length(before) * length(after))
        assert math.acos(min(1.0, cosine)) <= math.asin(0.1) + 1e-3


def test_the_size_of_a_direction_has_no_effect(build, batch):
    """Muon's and NorMuon's learning rates and the decay count for nothing."""
    ends = []
    for options in ({"lr": 0.02}, {"lr": 5.0, "weight_decay": 3.0}):
        run = build(hyperball={}, muon=options)
        list(steps(run, batch, 3))
        ends.append(run.assembly.params)
    assert all(torch.equal(ends[0][path], ends[1][path]) for path in ends[0])


def test_everything_else_is_left_alone(build):
    run = build(hyperball={})
    for stack in run.optimizer.stacks:
        assert (type(stack.rule).__name__ == "Turning") == (stack.group.role == "matrix")
        assert (type(stack.decay).__name__ == "Decoupled") == (stack.group.role != "matrix")


@pytest.mark.parametrize("other", ["zero_init", "uw_floor", "radial_brake"])
def test_what_makes_no_sense_beside_it_is_refused(build, other):
    with pytest.raises(PluginError, match="conflict"):
        build(hyperball={}, **{other: {}})


def test_two_spheres_clash_by_name(build):
    with pytest.raises(PluginError, match="claimed by 'hyperball' and 'psgd_kron'"):
        build(hyperball={}, psgd_kron={})
