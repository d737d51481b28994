"""The stacked optimizer against torch.optim.AdamW and by hand."""

import functools

import pytest
import torch
from torch._dynamo.utils import counters

from coregpt.contract.config import OptimConfig
from coregpt.engine.updates import AdamW


def test_adamw_equals_torch_adamw(build, batch) -> None:
    options = OptimConfig(lr=0.01, weight_decay=0.1, grad_clip=0, eps=1e-8)
    run = build(config={"optim": options})
    copies = {name: torch.nn.Parameter(p.detach().double().clone()) for name, p in run.assembly.params.items()}
    reference = torch.optim.AdamW(copies.values(), lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(5):
        run.model(*batch(seed=step), run.dials.values)[0].backward()
        for name, copy in copies.items():
            copy.grad = run.assembly.params[name].grad.double().clone()
        run.optimizer.step(1.0, run.dials.values)
        reference.step()
        for name, copy in copies.items():
            assert (copy - run.assembly.params[name]).abs().max() < 2e-6


def test_clipping_scales_the_whole_gradient(build, batch) -> None:
    run = build(config={"optim": OptimConfig(grad_clip=0.1)})
    run.model(*batch(), run.dials.values)[0].backward()
    grads = {name: p.grad.clone() for name, p in run.assembly.params.items()}
    norm = torch.sqrt(sum(g.double().square().sum() for g in grads.values()))
    seen: dict[str, torch.Tensor] = {}
    for stack in run.optimizer.stacks:
        stack.step = lambda lr, dials, s=stack: seen.update({p: s.grad[i].clone() for i, p in enumerate(s.paths)})
    assert run.optimizer.step(1.0, {}) == pytest.approx(norm.item(), rel=1e-5)
    for name, grad in grads.items():
        assert torch.allclose(seen[name], grad * (0.1 / norm).float(), rtol=1e-4, atol=1e-9)


def test_parameters_and_gradients_are_views_of_their_stack(build, batch) -> None:
    run = build()
    run.model(*batch(), run.dials.values)[0].backward()
    for stack in run.optimizer.stacks:
        for row, path in enumerate(stack.paths):
            param = run.assembly.params[path]
            assert param.data_ptr() == stack.data[row].data_ptr()
            assert param.grad.data_ptr() == stack.grad[row].data_ptr()
    run.optimizer.step(1.0, run.dials.values)
    assert all(not stack.grad.any() for stack in run.optimizer.stacks)


def test_lr_and_decay_multipliers_reach_their_parameter(build) -> None:
    run = build(value_embeddings={})
    for stack in run.optimizer.stacks:
        for row, path in enumerate(stack.paths):
            rule = run.assembly.rules[path]
            assert stack.lr[row].item() == pytest.approx(stack.rule.lr * rule.lr)
            assert stack.weight_decay[row].item() == pytest.approx(stack.rule.weight_decay * rule.weight_decay)


def test_the_first_adam_step_is_the_sign_of_the_gradient() -> None:
    rule = AdamW(OptimConfig(eps=1e-30))
    p, g = torch.zeros(2, 3), torch.tensor([[1.0, -2, 3], [-4, 5, -6]])
    assert torch.allclose(rule.direction(p, g, rule.init(p), {"step": 1}), g.sign())


@pytest.mark.parametrize("plugins", [{}, {"muon": {}}], ids=["adamw alone", "muon beside it"])
def test_compiled_updates_are_those_of_the_rule(build, monkeypatch, plugins) -> None:
    """What CUDA runs, made by a compiler that changes no operation. Rules of plugins stay as they are."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    plain, compiled = build(**plugins), build(**plugins)
    for stack in compiled.optimizer.stacks:
        before = {name: value.clone() for name, value in stack.state.items()}
        stack.compile()
        assert all(torch.equal(value, stack.state[name]) for name, value in before.items())
    own = [stack for stack in compiled.optimizer.stacks if stack.compiled is not None]
    assert own
    assert (len(own) == len(compiled.optimizer.stacks)) == (not plugins)
    graphs = counters["stats"]["unique_graphs"]
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for one, other in zip(plain.optimizer.stacks, compiled.optimizer.stacks, strict=True):
            one.grad.copy_(torch.randn(one.grad.shape, generator=generator))
            other.grad.copy_(one.grad)
        for run in (plain, compiled):
            run.dials.set(run.timeline.clock(step))
            run.optimizer.step(run.dials.lr_factor, run.dials.values)
    assert counters["stats"]["unique_graphs"] == graphs
    for path, value in plain.assembly.params.items():
        torch.testing.assert_close(compiled.assembly.params[path], value, rtol=1e-6, atol=1e-7, msg=path)
