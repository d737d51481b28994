import pytest
import torch

from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import Clock

MATRICES = {"roles": ["matrix"], "skip": ["attention.v", "attention.out"]}


def push(run, step, generator):
    """One step of training at random, then the companions; the weights before they acted, in float64."""
    for param in run.assembly.params.values():
        param.data.add_(torch.randn(param.shape, generator=generator))
    pushed = {path: param.detach().double().clone() for path, param in run.assembly.params.items()}
    for companion in run.companions:
        companion.after_update(Clock(step, 20))
    return pushed


def slow_trails(path, role, trails, pushes):
    """The weights after every step of one parameter, from its weights before a move minus those after the last one."""
    moved, found = torch.zeros_like(pushes[0]), []
    kept = [(t["start"], t["every"], t["strengths"], t["carry"]) for t in trails if meant(path, role, t)]
    captured, ways, counts = {}, {}, {}
    for done, at in enumerate(pushes, start=1):
        theta = at + moved  # every move stays
        for n, (start, every, strengths, carry) in enumerate(kept):
            if done == start:
                captured[n], ways[n], counts[n] = theta, torch.zeros_like(theta), 0
            elif n in captured and counts[n] < len(strengths) and done == start + every * (counts[n] + 1):
                ways[n] = theta - captured[n] + carry * ways[n]
                theta = theta + strengths[counts[n]] * ways[n]
                captured[n], counts[n] = theta, counts[n] + 1
        moved = theta - at
        found.append(theta)
    return found


def meant(path, role, trail):
    skipped = any(f".{place}." in f".{path}." for place in trail.get("skip", ()))
    return role in trail.get("roles", ("matrix", "head", "table", "gate", "scalar")) and not skipped


@pytest.mark.parametrize(
    "trails",
    [
        [{"start": 4, "every": 5, "strengths": [-0.3, -0.2], "carry": 1.0}],
        [
            {"start": 2, "every": 7, "strengths": [-0.1], "carry": 0.0, **MATRICES},
            {"start": 9, "every": 3, "strengths": [0.2, -0.4, 0.1], "carry": 0.5},
        ],
    ],
)
def test_weights_follow_the_definition(build, trails):
    run = build(trail_delta={"trails": trails})
    first = {path: param.detach().double().clone() for path, param in run.assembly.params.items()}
    generator, moved, pushes, seen = torch.Generator().manual_seed(0), {}, {path: [] for path in first}, []
    for step in range(20):
        before = push(run, step, generator)
        after = {path: param.detach().double().clone() for path, param in run.assembly.params.items()}
        for path, value in before.items():
            pushes[path].append(value - moved.get(path, 0.0))  # as if nothing had ever been moved
            moved[path] = moved.get(path, 0.0) + after[path] - value
        seen.append(after)
    for path, pushed in pushes.items():
        wanted = slow_trails(path, run.assembly.infos[path].role, trails, pushed)
        for step, value in enumerate(wanted):
            torch.testing.assert_close(seen[step][path], value, rtol=0, atol=2e-5)


def test_the_default_is_the_record_s_and_leaves_the_embedding(build):
    steps, trail = 2850, build(trail_delta={}).companions[0].trails[0]
    due = [next(done for done in range(1, steps + 1) if trail.due(Clock(done - 1, steps), move)) for move in range(3)]
    assert due == [2651, 2751, 2850]  # 0.93 of the run and so on; the record: 2650, 2750, 2850
    run = build(trail_delta={"trails": [{"start": 1, "every": 1, "strengths": [-0.5]}]})
    embedding = run.assembly.params["embedding.weight"]
    with torch.no_grad():
        push(run, 0, torch.Generator().manual_seed(1))
        before = push(run, 1, torch.Generator().manual_seed(2))
    assert torch.equal(embedding.double(), before["embedding.weight"])
    assert not torch.equal(run.assembly.params["head.out.weight"].double(), before["head.out.weight"])


def test_a_saved_walk_goes_on(build):
    options = {"trails": [{"start": 2, "every": 3, "strengths": [-0.3, -0.2]}]}
    whole, cut = build(trail_delta=options), build(trail_delta=options)
    for step in range(10):
        push(whole, step, torch.Generator().manual_seed(step))
        push(cut, step, torch.Generator().manual_seed(step))
        fresh = build(trail_delta=options)
        fresh.companions[0].load_state_dict(cut.companions[0].state_dict())
        for path, param in fresh.assembly.params.items():
            param.data.copy_(cut.assembly.params[path])
        cut = fresh
    for path, param in whole.assembly.params.items():
        assert torch.equal(param, cut.assembly.params[path])


def test_what_is_no_setting_is_named(build):
    with pytest.raises(ConfigError, match="strenghts"):
        build(trail_delta={"trails": [{"strenghts": [0.1]}]})
