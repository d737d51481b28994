"""What the updates of a run should multiply: every rule asked by itself, without a model and without companions.

A rule may multiply as much as it likes: that is what a technique costs, and the plan has it. What real updates multiply
beside it is in no plan: a companion in the optimizer's place, or a rule that reaches for the model or for more tokens.
The rules that are asked belong to instances of the techniques that were never asked for a part of a model.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import in_one_line
from coregpt.contract.rules import Dials
from coregpt.engine.build import NamedPlugins, build, hooks_for
from coregpt.engine.inputs import Given
from coregpt.engine.training.optimizer import Stack
from coregpt.engine.training.world import World
from coregpt.lab.guard.work import products
from coregpt.lab.study.code.blame import told

MOST_NUMBERS = 30_000_000
"""Of a stack that is counted with numbers in it, where its rule cannot be counted without."""


class UncountedError(Exception):
    """Why a rule cannot be counted by itself."""


class Updates:
    """Of one configuration, on the first of `ranks`."""

    def __init__(
        self, config: RunConfig, instances: Callable[[], NamedPlugins], inputs: Given | None = None, ranks: int = 1
    ):
        """`instances` makes the techniques anew. Raises what building a run raises."""
        run = build(config, instances(), inputs=inputs, device="meta", separator=0, world=World(0, ranks))
        self.dials, self.timeline = run.dials, run.timeline
        apart = hooks_for(config, instances())
        self.stacks = [
            replace(
                stack,
                rule=apart.hook.make_update(group=stack.group),
                decay=apart.hook.make_decay(group=stack.group),
                state={},
            )
            for stack in run.optimizer.stacks
        ]
        self.known: dict[tuple[int, int], float] = {}

    def products(self, step: int, update: int) -> float:
        """Floating point operations of the products in update number `update` (from 1), made in step `step` (from 0).

        Raises UncountedError.
        """
        key = step, update
        if key not in self.known:
            self.dials.set(self.timeline.clock(step))
            self.known[key] = sum(self._of(stack, update) for stack in self.stacks)
        return self.known[key]

    def _of(self, stack: Stack, update: int) -> float:
        dials = {**self.dials.values, "step": update}
        try:
            return _counted(stack, dials, self.dials.lr_factor)
        except Exception:  # a rule that looks at numbers, where there are none
            if stack.data.numel() > MOST_NUMBERS:
                raise UncountedError(f"the rule of {stack.group.name} hangs on numbers, of which it has many") from None
        try:
            numbers = {name: self._number(name, value) for name, value in dials.items()}
            return _counted(_with_numbers(stack), numbers, self.dials.lr_factor)
        except Exception as error:
            raise UncountedError(told(error) or in_one_line(error)) from None

    def _number(self, name: str, value: Tensor | int | float) -> Tensor | int | float:
        return torch.tensor(self.dials.numbers[name]) if isinstance(value, Tensor) else value


@torch.no_grad()
def _counted(stack: Stack, dials: Dials, lr_factor: float) -> float:
    fresh = replace(stack, state=stack.rule.init(stack.data[stack.mine]))
    return products(lambda: fresh.step(lr_factor, dials))


def _with_numbers(stack: Stack) -> Stack:
    """The same with small weights and gradients."""
    generator = torch.Generator().manual_seed(0)
    data, grad = (torch.randn(stack.data.shape, generator=generator) / 100 for _ in range(2))
    lr, weight_decay = (torch.full(each.shape, 1e-3) for each in (stack.lr, stack.weight_decay))
    rows = torch.arange(stack.mine.start, stack.mine.stop)
    return replace(stack, data=data, grad=grad, lr=lr, weight_decay=weight_decay, rows=rows)
