"""Give attention and MLP of the later layers a residual stream of their own each.

From layer `first` on there are two lanes, both the stream at first. Attention reads lane 0, the MLP lane 1; what either
writes goes to both, times a learned number:

    lane_j <- lane_j + share_(l, branch, j) y

share is 1 at first, but `cross` from attention to lane 1; it does not decay. The last vectors are the lanes' mean.

Suggested settings: first 7 of 11 layers (two thirds, the default), cross 1.5; with `residual_decay`, which scales both
lanes.
When it hurts / conflicts: twice the stream's memory in the later layers, and what adds an earlier layer's output to it
must know of lanes (`unet_skips` does not). Other lanes (`hyper_connections`, `mhc`) and nGPT claim the same
connections. Record 77 has `late_attn_single_source` in its place, which reads a stream without lanes.
Source: modded-nanogpt record 73.
"""

from collections.abc import Callable, Generator
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl


class PartitionedHc(Plugin):
    """Claims the later layers' connections; wraps the first of them and the stack."""

    conflicts: ClassVar[tuple[str, ...]] = (
        "hyper_connections",
        "late_attn_single_source",
        "layer_sharing",
        "looped",
        "mixture_of_depths",
        "unet_skips",
    )

    first: NonNegativeInt | None = None
    """The first layer with two lanes. Empty: 2 L // 3."""
    cross: float = 1.5
    """share of attention to the MLP's lane at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of the shares."""

    def start(self, depth: int) -> int:
        first = 2 * depth // 3 if self.first is None else self.first
        if first >= depth:
            raise PluginError(f"partitioned_hc: first layer {first} of a model with {depth} layers")
        return first

    @hookimpl
    def make_connection(self, at: Site) -> nn.Module | None:
        late = at.layer is not None and at.layer >= self.start(at.shape.depth)
        return Lanes(at, ".mlp." in at.path, self.cross) if late else None

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        return Split(block) if at.layer == self.start(at.shape.depth) else block

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        return Joined((yield))

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        name = param.path.rpartition(".")[2]
        return ParamRule(lr=self.lr, weight_decay=0.0) if name.startswith("lane_share_") else None


class Lanes(nn.Module):
    """A connection of one branch with both lanes (B, T, 2, dim)."""

    def __init__(self, at: Site, mlp: bool, cross: float):
        super().__init__()
        self.lane = int(mlp)
        values = (1.0, 1.0) if mlp else (1.0, cross)
        self.shares = nn.ParameterList(at.scale(f"lane_share_{lane}", (), values[lane]) for lane in (0, 1))

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        return x[..., self.lane, :]

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        return x + torch.stack([share * y for share in self.shares], -2)


class Split(nn.Module):
    """A block of which each lane begins as the stream (B, T, dim)."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(torch.stack((x, x), -2), ctx)
        return y


class Joined(nn.Module):
    """The stack, and the mean of its lanes."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(x, ctx)
        return y.mean(-2)
