"""Dials: scheduled values. Smooth ones are 0-d tensors (new value, same graph), stages are Python values."""

from typing import Any

import pluggy
import torch
from torch import Tensor

from coregpt.contract.answers import sources
from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import HookManager
from coregpt.contract.record import quoted
from coregpt.contract.rules import Clock, Schedule, Stages
from coregpt.contract.runview import RunView


class Dials:
    """Every schedule of a run and the current value of each dial."""

    def __init__(self, schedules: dict[str, Schedule], device: torch.device):
        self.schedules = schedules
        self.lr_factor = 1.0
        self.values: dict[str, Tensor | int | float] = {}
        self.numbers: dict[str, float] = {}
        for name, schedule in schedules.items():
            if name not in SIZES:
                fresh = torch.zeros((), device=device)
                self.values[name] = schedule.values[0] if isinstance(schedule, Stages) else fresh

    def staged(self, clock: Clock) -> tuple[tuple[str, Any], ...]:
        """(dial, value) of every dial that is static inside a graph, before `clock.step`."""
        return tuple(
            (name, self.schedules[name](clock)) for name, value in self.values.items() if not isinstance(value, Tensor)
        )

    def set(self, clock: Clock) -> None:
        """Turn every dial to its value before `clock.step`."""
        for name, value in self.values.items():
            new = self.schedules[name](clock)
            if isinstance(value, Tensor):
                value.fill_(new)
                self.numbers[name] = float(new)
            else:
                self.values[name] = new
        lr = self.schedules.get("lr")
        self.lr_factor = 1.0 if lr is None else float(lr(clock))


SIZES = ("batch_tokens", "seq_len")


def collect(manager: HookManager, view: RunView) -> dict[str, Schedule]:
    """Asks `add_schedules`; one dial has one owner, and the sizes of a batch can only be Stages of whole numbers."""
    merged: dict[str, Schedule] = {}
    for answer in manager.hook.add_schedules(run=view):
        for name, schedule in answer.items():
            if name in merged:
                names = " and ".join(sorted(quoted(impl.plugin_name) for impl in owners(manager, view, name)))
                raise PluginError(f"add_schedules at '{name}': claimed by {names}; enable only one of them")
            if name in SIZES and not _whole(schedule):
                who = sources("add_schedules", owners(manager, view, name))
                raise PluginError(f"{who}: add_schedules: '{name}' must be Stages of whole numbers, it sizes the batch")
            merged[name] = schedule
    return merged


def owners(manager: HookManager, view: RunView, *dials: str) -> list[pluggy.HookImpl]:
    """Implementations of `add_schedules` that answer with one of these dials."""
    found = []
    for impl in manager.hook.add_schedules.get_hookimpls():
        if not impl.wrapper:
            answer: Any = impl.function(view) if impl.argnames else impl.function()
            found += [impl] if set(dials) & set(answer or {}) else []
    return found


def _whole(schedule: Schedule) -> bool:
    if not isinstance(schedule, Stages):
        return False
    return all(isinstance(value, int | float) and value == int(value) for value in schedule.values)
