import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock


def walk(run, steps):
    """Move every weight at random, step after step, as training would; yields the weights in float64."""
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for param in run.assembly.params.values():
            param.data.add_(torch.randn(param.shape, generator=generator))
        for companion in run.companions:
            companion.after_update(Clock(step, steps))
        yield {path: param.detach().double().clone() for path, param in run.assembly.params.items()}


def evaluated(run):
    (companion,) = run.companions
    with companion.evaluating():
        return {path: param.detach().double().clone() for path, param in run.assembly.params.items()}


@pytest.mark.parametrize("blend", [0.6, 1.0])
def test_the_average_is_the_weighted_sum_of_the_definition(build, blend):
    run = build(ema={"start": 8, "horizon": 5, "blend": blend})
    seen = list(walk(run, 20))
    got = evaluated(run)
    tail = seen[7:]  # after step 8 and later
    weights = [0.8 ** (len(tail) - 1)] + [0.2 * 0.8 ** (len(tail) - 1 - i) for i in range(1, len(tail))]
    assert sum(weights) == pytest.approx(1)
    for path, last in seen[-1].items():
        average = sum(weight * state[path] for weight, state in zip(weights, tail, strict=True))
        torch.testing.assert_close(got[path], (1 - blend) * last + blend * average, rtol=1e-5, atol=1e-5)


def test_shares_of_the_run_are_steps(build):
    a, b = build(ema={"start": 0.4, "horizon": 0.25}), build(ema={"start": 8, "horizon": 5})
    for run in (a, b):
        list(walk(run, 20))
    for path, value in evaluated(a).items():
        assert torch.equal(value, evaluated(b)[path])


def test_weights_come_back_to_the_bit_even_after_an_error(build):
    run = build(ema={"start": 0, "horizon": 3})
    last = list(walk(run, 6))[-1]
    with pytest.raises(RuntimeError, match="stop"), run.companions[0].evaluating():
        raise RuntimeError("stop")
    for path, param in run.assembly.params.items():
        assert torch.equal(param.detach().double(), last[path])


def test_before_it_starts_the_last_weights_are_evaluated(build):
    run = build(ema={"start": 11, "horizon": 5})
    for step, last in enumerate(walk(run, 20), 1):
        same = all(torch.equal(value, last[path]) for path, value in evaluated(run).items())
        assert same == (step <= 11)  # after step 11 the average is those very weights


def test_skipped_roles_keep_their_last_weights(build):
    run = build(ema={"start": 0, "horizon": 3, "skip": ["embedding", "head"]})
    last = list(walk(run, 6))[-1]
    for path, value in evaluated(run).items():
        kept = run.assembly.infos[path].role in ("embedding", "head")
        assert torch.equal(value, last[path]) == kept


def test_bad_options_are_named(build):
    with pytest.raises(ConfigError, match=r"plugins\.ema\.horizon"):
        build(ema={"horizon": 0})
    with pytest.raises(ConfigError, match=r"plugins\.ema\.blend"):
        build(ema={"blend": 1.5})
    roles = ["matrix", "embedding", "head", "table", "gate", "scalar"]
    with pytest.raises(PluginError, match="no parameter is left"):
        build(ema={"skip": roles})


def slow_projected(states, start, horizon, shift, velocity, share):
    """What is evaluated of one matrix, row by row, from its values before the run and after every step."""
    way, average = torch.zeros_like(states[0]), None
    for done in range(1, len(states)):
        theta = states[done]
        way = velocity * way + (1 - velocity) * (theta - states[done - 1])
        if done == start:
            average = rows_as_long(theta - shift * horizon * way, theta)
        elif done > start:
            average = average + (theta - average) / horizon
    return rows_as_long((1 - share) * states[-1] + share * average, average)


def rows_as_long(x, like):
    size = lambda row: math.sqrt(sum(value**2 for value in row.tolist()))  # noqa: E731
    return torch.stack([row * (size(other) / size(row)) for row, other in zip(x, like, strict=True)])


def test_the_projected_average_equals_the_definition(build):
    shares = {"roles": {"matrix": 0.75, "head": 0.6}, "places": {"blocks.0": 1.0, "blocks.0.mlp": 0.3, "mlp": 0.4}}
    ways = {"shift": 0.5, "velocity": 0.8, "rows": True}
    run = build(ema={"start": 6, "horizon": 4, "blend": 0.9, "skip": ["embedding"], **ways, **shares})
    first = {path: param.detach().double().clone() for path, param in run.assembly.params.items()}
    seen = [first, *walk(run, 12)]
    for path, got in evaluated(run).items():
        states = [state[path] for state in seen]
        role = run.assembly.infos[path].role
        if role == "embedding":
            assert torch.equal(got, states[-1])
            continue
        assert role in ("matrix", "head")
        matrix = 0.3 if ".0.mlp." in path else 1.0 if ".0." in path else 0.4 if ".mlp." in path else 0.75
        wanted = slow_projected(states, 6, 4, 0.5, 0.8, 0.6 if role == "head" else matrix)
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)


def test_a_shift_alone_starts_behind_and_a_saved_average_goes_on(build):
    options = {"start": 5, "horizon": 4, "shift": 0.5, "velocity": 0.0}
    run = build(ema=options)
    seen = list(walk(run, 5))
    for path, got in evaluated(run).items():  # with no memory the way is the last step's change
        torch.testing.assert_close(got, seen[4][path] - 2 * (seen[4][path] - seen[3][path]), rtol=0, atol=1e-4)
    for steps in (3, 5):
        saved, fresh = build(ema=options), build(ema=options)
        list(walk(saved, steps))
        state = saved.companions[0].state_dict()
        fresh.companions[0].load_state_dict(state)
        for name, kept in fresh.companions[0].state_dict().items():
            assert kept.keys() == state[name].keys()
            assert all(torch.equal(value, state[name][path]) for path, value in kept.items())
