"""Each hook, answered by a one-line plugin, changes exactly what its documentation says."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from coregpt.contract.companion import Companion
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.hookspecs import Hooks
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.rules import ParamRule, Stages
from coregpt.engine.build import Run, build
from coregpt.engine.model.parts import RMSNorm
from coregpt.engine.training.updates import AdamW, Decoupled

CONFIG = RunConfig(
    model=ModelShape(vocab=61, dim=32, depth=2, heads=2, context=16), tokens=640, batch_tokens=64, eval_tokens=32
)
TOKENS = torch.arange(32).view(2, 16) % 61


class Zero(nn.Module):
    """Whatever comes in, a zero of the first argument's shape goes out."""

    def __init__(self, **attributes: Any):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        return torch.zeros_like(x)


class Embedding(nn.Module):
    def forward(self, tokens: torch.Tensor, ctx: Any) -> torch.Tensor:
        return torch.zeros(*tokens.shape, 32)


class Cut(nn.Module):
    """A connection that ignores its branch."""

    def read(self, x: torch.Tensor, ctx: Any) -> torch.Tensor:
        return x

    def write(self, x: torch.Tensor, y: torch.Tensor, ctx: Any) -> torch.Tensor:
        return x


class Position(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, ctx: Any) -> Any:
        return q, k


class Head(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_ones(*x.shape[:2], 61)


class Loss(nn.Module):
    def forward(self, logits: torch.Tensor, targets: torch.Tensor, ctx: Any) -> torch.Tensor:
        return logits.sum() * 0 + 7


class Still:
    """An update rule whose direction is zero."""

    lr, weight_decay = 1.0, 0.0

    def init(self, p: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}

    def direction(self, p: torch.Tensor, *rest: Any) -> torch.Tensor:
        return torch.zeros_like(p)


def only_self(b: torch.Tensor, h: torch.Tensor, q: torch.Tensor, k: torch.Tensor, ctx: Any) -> torch.Tensor:
    return q == k


def plugin(hook: str, answer: Callable[..., Any], *arguments: str) -> Plugin:
    """A plugin with this one hook; pluggy matches arguments by name, so the method needs their names."""
    names = ", ".join(("self", *arguments))
    scope: dict[str, Any] = {"answer": answer}
    exec(f"def {hook}({names}): return answer({', '.join(arguments)})", scope)
    return type("OneHook", (Plugin,), {hook: hookimpl(scope[hook]), "__module__": __name__})()


def made(*answered: Plugin) -> Run:
    return build(CONFIG, [(f"p{i}", one) for i, one in enumerate(answered)])


def logits(run: Run) -> torch.Tensor:
    with torch.no_grad():
        return run.model.logits(TOKENS, run.dials.values)


def bare() -> torch.Tensor:
    return logits(made())


PARTS: dict[str, tuple[Plugin, Callable[[Run], bool]]] = {
    "make_embedding": (plugin("make_embedding", Embedding), lambda r: "embedding.weight" not in r.assembly.params),
    "make_block": (plugin("make_block", Zero), lambda r: not any(p.startswith("blocks") for p in r.assembly.params)),
    "make_stack": (plugin("make_stack", lambda block: block(1), "block"), lambda r: len(r.model.blocks) == 1),
    "make_connection": (plugin("make_connection", Cut), lambda r: not torch.equal(logits(r), bare())),
    "make_norm": (
        plugin("make_norm", lambda at: nn.Identity() if at.name == "final_norm" else None, "at"),
        lambda r: isinstance(r.model.final_norm, nn.Identity) and isinstance(r.model.blocks[0].mlp.pre, RMSNorm),
    ),
    "make_attention": (
        plugin("make_attention", lambda at: Zero() if at.layer == 1 else None, "at"),
        lambda r: {p.split(".")[1] for p in r.assembly.params if ".attention." in p} == {"0"},
    ),
    "make_position": (plugin("make_position", Position), lambda r: "shared.positions.weight" not in r.assembly.params),
    "make_attend": (plugin("make_attend", Zero), lambda r: not torch.equal(logits(r), bare())),
    "make_mlp": (plugin("make_mlp", Zero), lambda r: not any(".mlp." in p for p in r.assembly.params)),
    "make_activation": (
        plugin("make_activation", lambda width: Zero(inputs=2, width=width - 3), "width"),
        lambda r: r.assembly.infos["blocks.0.mlp.gate.weight"].shape == (125, 32),
    ),
    "make_linear": (
        plugin("make_linear", lambda at, d_out: nn.Identity() if at.name == "q" else None, "at", "d_out"),
        lambda r: not any(p.endswith("attention.q.weight") for p in r.assembly.params),
    ),
    "make_head": (plugin("make_head", Head), lambda r: bool((logits(r) == 1).all())),
    "make_loss": (plugin("make_loss", Loss), lambda r: r.model(TOKENS, TOKENS, r.dials.values)[0].item() == 7),
    "make_update": (
        plugin("make_update", lambda group: Still() if group.role == "head" else None, "group"),
        lambda r: [type(s.rule) for s in r.optimizer.stacks].count(AdamW) == len(r.optimizer.stacks) - 1,
    ),
    "make_decay": (
        plugin("make_decay", lambda group: Decoupled() if group.role == "head" else None, "group"),
        lambda r: all(isinstance(s.decay, Decoupled) for s in r.optimizer.stacks),
    ),
    "add_logit_transforms": (plugin("add_logit_transforms", Zero), lambda r: bool((logits(r) == 0).all())),
    "add_masks": (plugin("add_masks", lambda: only_self), lambda r: not torch.equal(logits(r), bare())),
    "add_score_rules": (
        plugin("add_score_rules", lambda: lambda score, *rest: -score),
        lambda r: not torch.equal(logits(r), bare()),
    ),
    "add_losses": (
        plugin("add_losses", lambda: {"seven": Loss()}),
        lambda r: (
            r.model(TOKENS, TOKENS, r.dials.values)[1]["seven"].item() == 7
            and r.model(TOKENS, TOKENS, r.dials.values)[0].item() > 10
        ),
    ),
    "add_schedules": (
        plugin("add_schedules", lambda: {"batch_tokens": Stages((0.5, 32), (1, 64)), "warm": lambda clock: 3.0}),
        lambda r: r.timeline.batches[0] == 32 and r.dials.values["warm"] == 3,
    ),
    "add_param_rules": (
        plugin("add_param_rules", lambda param: ParamRule(init=0.0) if param.role == "head" else None, "param"),
        lambda r: not r.assembly.params["head.out.weight"].any(),
    ),
    "add_companions": (plugin("add_companions", lambda: Companion()), lambda r: len(r.companions) == 1),
}


@pytest.mark.parametrize("hook", sorted(PARTS))
def test_an_answer_takes_effect(hook: str) -> None:
    answered, took_effect = PARTS[hook]
    assert took_effect(made(answered))


@pytest.mark.parametrize("hook", sorted(PARTS))
def test_without_an_answer_it_does_not(hook: str) -> None:
    _, took_effect = PARTS[hook]
    if hook != "make_decay":  # core's own answer is of the same class
        try:
            effect = took_effect(made())
        except (KeyError, AttributeError):
            effect = False
        assert not effect


def test_no_hook_is_left_out() -> None:
    assert set(PARTS) == {name for name in vars(Hooks) if name.startswith(("make_", "add_"))}
