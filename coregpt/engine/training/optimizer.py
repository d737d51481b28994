"""One optimizer for every rule: stacks equal shapes, shards stacks over ranks, asks rules for directions.

Parameters and their gradients are views into stacks (n, *shape), so stacking costs no copy. Each rank holds
the state of its part of every stack, moves that part, and the parts are gathered while the next stack moves.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import place_of
from coregpt.contract.rules import DecayRule, Dials, ParamGroup, UpdateRule
from coregpt.contract.site import Assembly
from coregpt.engine.training.updates import AdamW, Decoupled
from coregpt.engine.training.world import World


@dataclass
class Stack:
    """All parameters of one role and shape. Rows past `len(paths)` pad to a multiple of the world's size."""

    group: ParamGroup
    rule: UpdateRule
    decay: DecayRule
    data: Tensor
    grad: Tensor
    lr: Tensor
    weight_decay: Tensor
    mine: slice
    rows: Tensor
    """(n,) int64 numbers of this rank's parameters in the group: what random draws of a rule count by."""
    state: dict[str, Tensor]
    at_once: tuple[float, float] | None = None
    """Learning rate and weight decay of every parameter, where core's own rules move all alike on a CPU."""
    compiled: Callable[..., None] | None = None
    """The whole update as compiled code, told the step's numbers as 0-d tensors; None: operation by operation."""

    @property
    def paths(self) -> tuple[str, ...]:
        return self.group.paths

    def step(self, lr_factor: float, dials: Dials) -> None:
        """Move this rank's part: p <- p - decay - lr x direction."""
        p, g = self.data[self.mine], self.grad[self.mine]
        if self.at_once is not None:
            rate, weight_decay = self.at_once
            assert isinstance(self.rule, AdamW)
            self.rule.move(p, g, self.state, dials, rate * lr_factor, weight_decay)
            return
        seen = {**dials, "rows": self.rows}
        lr = self.lr[self.mine] * lr_factor
        if self.compiled is not None:
            rule: Any = self.rule
            numbers = {name: self.number(value) for name, value in rule.numbers(seen).items()}
            return self.compiled(p, g, self.state, lr, self.weight_decay[self.mine], numbers)
        direction = self.rule.direction(p, g, self.state, seen)
        if getattr(direction, "shape", None) != p.shape:
            raise PluginError(_wrong("direction", self.rule.direction, self.group, p, direction))
        amount = self.decay.amount(p, direction, lr, self.weight_decay[self.mine], seen)
        if not _spreads(amount, p):
            raise PluginError(_wrong("amount", self.decay.amount, self.group, p, amount))
        p.sub_(amount).sub_(direction * lr)

    def number(self, value: float) -> Tensor:
        """0-d, on the device: a number that changes is no reason to compile anew."""
        return torch.full((), value, dtype=self.data.dtype, device=self.data.device)

    def compile(self) -> None:
        """Makes `compiled`, and runs it once on copies. Rules that need more than tensors and numbers stay as they are.

        One pass over weights, gradients and states instead of a dozen. Raises whatever the compiler does.
        """
        rule, decay = self.rule, self.decay
        if not (isinstance(rule, AdamW) and isinstance(decay, Decoupled)):
            return

        def move(
            p: Tensor, g: Tensor, state: dict[str, Tensor], lr: Tensor, weight_decay: Tensor, numbers: dict[str, Tensor]
        ) -> None:
            direction = rule.toward(g, state, **numbers)
            amount = decay.amount(p, direction, lr, weight_decay, {})
            p.sub_(amount).sub_(direction * lr)

        compiled = torch.compile(move, fullgraph=True, dynamic=False)
        p, g, lr = (each[self.mine] for each in (self.data, self.grad, self.lr))
        state = {name: value.clone() for name, value in self.state.items()}
        numbers = {name: self.number(value) for name, value in rule.numbers({"step": 1}).items()}
        with torch.no_grad():
            compiled(p.clone(), g.clone(), state, lr.clone(), self.weight_decay[self.mine], numbers)
        self.compiled = compiled


class Optimizer:
    """Owns every parameter of the assembly, each in exactly one stack."""

    def __init__(self, assembly: Assembly, world: World, grad_clip: float):
        self.world, self.grad_clip = world, grad_clip
        self.stacks = [make_stack(assembly, world, group) for group in groups(assembly)]
        self.steps = 0

    @torch.no_grad()
    def reduce(self) -> None:
        """Sum gradients over ranks."""
        for stack in self.stacks:
            self.world.all_reduce(stack.grad)

    def clear(self) -> None:
        """Forget the gradients."""
        for stack in self.stacks:
            stack.grad.zero_()

    @torch.no_grad()
    def step(self, lr_factor: float, dials: Dials) -> Tensor:
        """Clip, move, gather, clear gradients; returns the gradient norm before clipping (0-d)."""
        self.steps += 1
        flat = [stack.grad.view(-1) for stack in self.stacks]
        norm = torch.stack([torch.dot(grad, grad) for grad in flat]).sum().sqrt()
        if self.grad_clip:
            factor = (self.grad_clip / (norm + 1e-6)).clamp(max=1.0)
            # On a CPU the answer is there already, and most steps are not clipped.
            for stack in self.stacks if not (norm.is_cpu and factor == 1) else ():
                stack.grad.mul_(factor)
        seen = {**dials, "step": self.steps}
        arriving = []
        for stack in self.stacks:
            stack.step(lr_factor, seen)
            arriving.append(self.world.begin_gather(stack.data, stack.data[stack.mine]))
            stack.grad.zero_()
        for wait in arriving:
            wait()
        return norm

    def state_of(self) -> Iterator[tuple[str, str, Tensor]]:
        """(path, name, tensor) of every piece of optimizer state, gathered from all ranks."""
        for stack in self.stacks:
            for name, mine in stack.state.items():
                whole = mine.new_empty((len(stack.data), *mine.shape[1:]))
                whole[stack.mine] = mine
                self.world.all_gather(whole, mine)
                yield from ((path, name, whole[i]) for i, path in enumerate(stack.paths))

    def load_state(self, saved: dict[str, dict[str, Tensor]], steps: int) -> None:
        """Take back what `state_of` gave, on any number of ranks."""
        self.steps = steps
        for stack in self.stacks:
            rows = range(*stack.mine.indices(len(stack.paths)))
            for name, mine in stack.state.items():
                for row in rows:
                    mine[row - stack.mine.start].copy_(saved[stack.paths[row]][name])


def _spreads(amount: Any, p: Tensor) -> bool:
    """Whether a decay can be subtracted from a stack."""
    if not isinstance(amount, Tensor):
        return False
    if amount.shape == p.shape:
        return True
    sizes = zip(reversed(amount.shape), reversed(p.shape), strict=False)
    return amount.dim() <= p.dim() and all(own in (1, whole) for own, whole in sizes)


def _wrong(what: str, method: Callable[..., Any], group: ParamGroup, like: Tensor, answer: Any) -> str:
    """What to say of a rule's answer that is no tensor of the stack's shape, or has another."""
    shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    return (
        f"{type(getattr(method, '__self__', method)).__name__}.{method.__name__}{place_of(method)} of {group.name}: "
        f"expected a {what} (n, *shape) = {tuple(like.shape)}, got {shape}"
    )


def groups(assembly: Assembly) -> list[ParamGroup]:
    """Parameters by role, shape and what rules set for them, in the order they were made."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for path, info in assembly.infos.items():
        rule = assembly.rules[path]
        found.setdefault((info.role, info.shape, rule.label, rule.betas, rule.eps), []).append(path)
    return [
        ParamGroup(
            role,
            shape,
            tuple(paths),
            label,
            betas,
            eps,
            tuple(assembly.infos[path].layer for path in paths),
            assembly.shape,
            assembly.seed,
        )
        for (role, shape, label, betas, eps), paths in found.items()
    ]


def make_stack(assembly: Assembly, world: World, group: ParamGroup) -> Stack:
    """Moves the parameters of one group into a stack and makes them views of it."""
    rule: UpdateRule = assembly.hook.make_update(group=group)
    params = [assembly.params[path] for path in group.paths]
    share = -(-len(params) // world.size)
    data = params[0].new_zeros((share * world.size, *group.shape))
    grad = torch.zeros_like(data)
    with torch.no_grad():
        for row, param in enumerate(params):
            data[row].copy_(param)
            _adopt(param, data[row], grad[row])
    mine = slice(world.rank * share, (world.rank + 1) * share)
    rules = [assembly.rules[path] for path in group.paths]
    state: Any = rule.init(data[mine])
    if not isinstance(state, dict):
        raise PluginError(_wrong("dict of tensors", rule.init, group, data[mine], state))
    for value in state.values():
        if not isinstance(value, Tensor) or value.shape[:1] != (share,):
            raise PluginError(_wrong("state", rule.init, group, data[mine], value))
    decay: DecayRule = assembly.hook.make_decay(group=group)
    alike = {(rule.lr * own.lr, rule.weight_decay * own.weight_decay) for own in rules}
    plain = len(alike) == 1 and data.is_cpu and type(rule) is AdamW and type(decay) is Decoupled
    return Stack(
        group,
        rule,
        decay,
        data,
        grad,
        _column([rule.lr * own.lr for own in rules], data),
        _column([rule.weight_decay * own.weight_decay for own in rules], data),
        mine,
        torch.arange(mine.start, mine.stop, device=data.device),
        state,
        alike.pop() if plain else None,
    )


def _adopt(param: nn.Parameter, data: Tensor, grad: Tensor) -> None:
    param.data = data
    param.grad = grad


def _column(values: list[float], stack: Tensor) -> Tensor:
    """Per-parameter factors as (n, 1, ..., 1), zero for padding rows."""
    column = stack.new_zeros(len(stack))
    column[: len(values)] = torch.tensor(values, device=stack.device)
    return column.view(-1, *[1] * (stack.dim() - 1))
