import pytest
import torch

from coregpt.contract.rules import Clock


def walk(run, steps):
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


@pytest.mark.parametrize("gamma", [-0.3, 0.5])
def test_what_is_evaluated_lies_on_the_line(build, gamma):
    run = build(ref_interp={"gamma": gamma, "reference": 4, "start": 0.8})
    seen = []
    for step, last in enumerate(walk(run, 10), start=1):
        seen.append(last)
        got = evaluated(run)
        for path, value in last.items():
            wanted = value + gamma * (value - seen[3][path]) if step >= 8 else value
            torch.testing.assert_close(got[path], wanted, rtol=0, atol=1e-5)
            assert torch.equal(run.assembly.params[path].detach().double(), value)


def test_weights_come_back_after_an_error(build):
    run = build(ref_interp={"reference": 1, "start": 2})
    last = list(walk(run, 5))[-1]
    with pytest.raises(RuntimeError, match="stop"), run.companions[0].evaluating():
        raise RuntimeError("stop")
    assert all(torch.equal(p.detach().double(), last[path]) for path, p in run.assembly.params.items())


def test_skipped_roles_keep_their_last_weights(build):
    run = build(ref_interp={"reference": 1, "start": 2, "skip": ["embedding"]})
    last = list(walk(run, 5))[-1]
    for path, value in evaluated(run).items():
        assert torch.equal(value, last[path]) == (run.assembly.infos[path].role == "embedding")
