"""The model: which blocks a stack is built of, and how answers to one question that exclude each other are told."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl
from tests.made import TOKENS, made


class Twice(Plugin):
    """A loop: two of three blocks, each passed twice."""

    @hookimpl
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> nn.Module:
        class Loop(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = nn.ModuleList((block(0), block(2)))

            def forward(self, x: Tensor, ctx: Context) -> Tensor:
                for _ in range(2):
                    for layer in self.inner:
                        x = layer(x, ctx)
                return x

        return Loop()


def test_a_stack_builds_the_blocks_it_wants() -> None:
    run = made(Twice())
    assert {path.split(".")[1] for path in run.assembly.params if path.startswith("blocks.")} == {"0", "2"}
    plain, x = made(), torch.randn(2, 16, 32)
    ctx = plain.model._context(TOKENS[:2], {})
    wanted = x
    for layer in (0, 2, 0, 2):
        wanted = plain.model.blocks[layer](wanted, ctx)
    assert torch.equal(run.model.stack(x, run.model._context(TOKENS[:2], {})), wanted)


class Greedy(Plugin):
    @hookimpl
    def make_stack(self, block: Callable[[int], nn.Module]) -> nn.Module:
        return nn.Sequential(block(1), block(1))


def test_a_block_is_built_once() -> None:
    with pytest.raises(PluginError, match=r"block\(1\) of a model with 3 layers, each built once"):
        made(Greedy())


def test_two_stacks_are_both_named() -> None:
    with pytest.raises(PluginError, match=r"make_stack at 'stack': claimed by 'p[01]' and 'p[01]'"):
        made(Twice(), type("Again", (Twice,), {"__module__": __name__})())


def gives(**losses: nn.Module) -> Plugin:
    class Extra(Plugin):
        @hookimpl
        def add_losses(self) -> dict[str, nn.Module]:
            return losses

    return Extra()


def test_two_losses_of_one_name_are_both_named() -> None:
    with pytest.raises(PluginError, match="'extra' is given by 'p0' and by 'p1'"):
        made(gives(extra=nn.Identity()), gives(extra=nn.Identity(), more=nn.Identity()))
