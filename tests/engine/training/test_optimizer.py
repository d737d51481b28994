"""The stacked optimizer against torch.optim.AdamW and by hand; what parameter rules and decays may ask of it."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from coregpt.api import ParamGroup, ParamRule, Plugin, PluginError, hookimpl
from coregpt.contract.config import OptimConfig
from coregpt.engine.training.updates import AdamW
from tests.made import SHAPE, TOKENS, made


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


class Labels(Plugin):
    @hookimpl
    def add_param_rules(self, param: Any) -> ParamRule | None:
        name = param.path.rsplit(".", 2)[-2]
        if name not in ("q", "k"):
            return None
        assert param.model == SHAPE
        return ParamRule(label=name, betas=(0.5, 0.75) if name == "q" else None, eps=1e-3 if name == "k" else None)


def test_labels_betas_and_eps_split_groups_and_reach_adamw() -> None:
    stacks = {stack.group.label: stack for stack in made(Labels(), seed=5).optimizer.stacks if stack.group.label}
    assert set(stacks) == {"q", "k"}
    q, k = stacks["q"], stacks["k"]
    assert q.paths == tuple(f"blocks.{layer}.attention.q.weight" for layer in range(3))
    assert q.group.layers == (0, 1, 2)
    assert (q.group.model, q.group.seed, q.group.name) == (SHAPE, 5, "matrix 'q' (32, 32)")
    assert (q.rule.beta1, q.rule.beta2, q.rule.eps) == (0.5, 0.75, 1e-8)
    assert (k.rule.beta1, k.rule.beta2, k.rule.eps) == (0.9, 0.95, 1e-3)
    assert isinstance(q.rule, AdamW)


class OtherBetas(Plugin):
    @hookimpl
    def add_param_rules(self, param: Any) -> ParamRule:
        return ParamRule(betas=(0.1, 0.2))


class OddRole(Plugin):
    @hookimpl
    def add_param_rules(self, param: Any) -> ParamRule:
        return ParamRule(role="conv")  # type: ignore[arg-type]


def test_two_words_on_betas_clash_and_unknown_roles_are_refused() -> None:
    with pytest.raises(PluginError, match="different betas"):
        made(Labels(), OtherBetas())
    with pytest.raises(PluginError, match=r"role one of matrix, embedding, .*label.*, not 'conv'"):
        made(OddRole())


class Shrink(Plugin):
    """A decay that reads a dial, and a rule that reads the numbers of its parameters."""

    @hookimpl
    def add_schedules(self) -> dict[str, Any]:
        return {"shrink": lambda clock: 0.25}

    @hookimpl
    def make_decay(self, group: ParamGroup) -> Any:
        class Decay:
            def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Any) -> Tensor:
                assert dials["rows"].tolist() == list(range(len(p)))
                return p * dials["shrink"] + update * lr  # cancels the update

        return Decay()


def test_decay_reads_dials_and_rows() -> None:
    run = made(Shrink())
    run.dials.set(run.timeline.clock(0))
    before = {path: param.detach().clone() for path, param in run.assembly.params.items()}
    run.model(TOKENS, TOKENS, run.dials.values)[0].backward()
    for stack in run.optimizer.stacks:
        stack.rule = type(
            "Still",
            (),
            {"lr": 0.0, "weight_decay": 0.0, "direction": staticmethod(lambda p, g, state, dials: torch.zeros_like(p))},
        )()
    run.optimizer.step(1.0, run.dials.values)
    for path, param in run.assembly.params.items():
        assert torch.allclose(param, 0.75 * before[path])


class Scalar(Plugin):
    @hookimpl
    def make_update(self, group: ParamGroup) -> Any:
        class Sum:
            lr, weight_decay = 1.0, 0.0

            def init(self, p: Tensor) -> dict[str, Tensor]:
                return {}

            def direction(self, p: Tensor, g: Tensor, state: Any, dials: Any) -> Tensor:
                return g.sum()

        return Sum()


def test_a_direction_of_another_shape_is_refused() -> None:
    run = made(Scalar())
    with pytest.raises(PluginError, match=r"Sum\.direction \(.*\) of embedding .*expected a direction"):
        run.optimizer.step(1.0, {})
