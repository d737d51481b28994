"""Reaching the innermost part of what a hook answered, whoever has wrapped it already."""

from collections.abc import Callable

from torch import nn


def replaced(
    part: nn.Module, core: Callable[[nn.Module], bool], make: Callable[[nn.Module], nn.Module]
) -> nn.Module | None:
    """`part` with `make(found)` in the place of the part that `core` knows, itself or inside; None if there is none.

    A wrapper goes around what was made before it. What must come after every change that others make to values, or
    between a norm and a rotation, goes here.
    """
    if core(part):
        return make(part)
    for parent in list(part.modules()):
        for name, child in parent.named_children():
            if core(child):
                setattr(parent, name, make(child))
                return part
    return None
