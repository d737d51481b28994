"""Let every head be turned down, token by token, by a gate that reads a few channels of the attention's input.

    y_h <- sigmoid(g_h) y_h,     g = W x[:channels],     W (heads, channels)

W starts at zero, so every gate starts at 1/2. A head can then say nothing without looking for a token to put its
attention on.

Suggested settings: 12 channels (16 in the medium track); records moved W by Muon (28 to 55), later by Adam at a
tenth of the rate.
When it hurts / conflicts: nothing known; a learned sink does much the same.
Source: modded-nanogpt record 28; Qiu et al. 2025, arXiv:2505.06708, whose gate reads all channels.
"""

from collections.abc import Generator

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from coregpt.api import Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl

NAME = "sparse_attn_gate"


class SparseAttnGate(Plugin):
    """Wraps attention; adds one gate a layer."""

    channels: PositiveInt = 12
    """How many channels of the input the gate reads."""
    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers with gates. Empty: all."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of W."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        dim, depth = at.shape.dim, at.shape.depth
        if self.channels > dim:
            raise PluginError(f"{NAME}: channels ({self.channels}) exceeds model.dim ({dim})")
        if wrong := [layer for layer in self.layers or () if layer >= depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {depth} layers")
        here = self.layers is None or at.layer in self.layers
        return Gated(at.child(NAME), heads, inner, self.channels) if here else inner

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr) if param.path.endswith(f".{NAME}.gate.weight") else None


class Gated(nn.Module):
    """Attention `inner` (B, T, H, Dv), each head times its gate."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, channels: int):
        super().__init__()
        self.inner, self.channels = inner, channels
        self.gate = at.linear("gate", channels, heads.query, role="gate", std=0.0)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, v, x, ctx)
        return y * self.gate(x[..., : self.channels]).sigmoid().unsqueeze(-1).to(y.dtype)
