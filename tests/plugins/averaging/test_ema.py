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
