"""Let the attention of the last layers read one earlier layer's output in the place of the stream.

With h the output of block `layer`, the attention of every later block reads rms(h); what it writes goes to the stream,
and MLPs read the stream as ever. So all of them could be computed at once.

Suggested settings: layer 7 of 11, which the default's two thirds are.
When it hurts / conflicts: late attention cannot use what late MLPs found. Loops pass a layer several times, and routed
blocks see some tokens only.
Source: modded-nanogpt record 77.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from coregpt_plugins._shared.stream import Behind
from pydantic import NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl

KEY = "late_attn_single_source"


class LateAttnSingleSource(Plugin):
    """Wraps one block, and later blocks' connections of attention."""

    conflicts: ClassVar[tuple[str, ...]] = ("looped", "mixture_of_depths")

    layer: NonNegativeInt | None = None
    """Whose output is read. Empty: 2 L // 3, but two blocks follow it at least: the next one reads it in any model."""

    def source(self, depth: int) -> int:
        if depth < 3 or (self.layer is not None and self.layer > depth - 3):
            asked = "a layer" if self.layer is None else f"layer {self.layer}"
            raise PluginError(f"late_attn_single_source: two layers must follow {asked}, and the model has {depth}")
        return min(2 * depth // 3, depth - 3) if self.layer is None else self.layer

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        return Behind(block, KEY) if at.layer == self.source(at.shape.depth) else block

    @hookimpl(wrapper=True)
    def make_connection(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        late = at.layer is not None and at.layer > self.source(at.shape.depth) and ".attention." in at.path
        return Reading(inner) if late else inner


class Reading(nn.Module):
    """The connection `inner`, which reads what one block left."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner: Any = inner

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        found: Tensor = self.inner.read(ctx.saved[KEY], ctx)
        return found

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        written: Tensor = self.inner.write(x, y, ctx)
        return written
