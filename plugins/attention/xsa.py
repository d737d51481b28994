"""Take out of what a head found the part that points along the token's own value.

With y the output of head h at token t and v_t the value of that token, as attention sees it:

    y <- y - tanh(alpha_h) (y . v_t / max(|v_t|^2, 1e-8)) v_t

alpha is a learned number per head, zero at first, so that training starts as without it. With `share` it is that fixed
share instead: 1 leaves only what is orthogonal to the token's own value, as the paper has it. What a token says of
itself comes through the residual stream anyway.

Suggested settings: the default in some early layers (1, 3, 4 and 7 of 11 in the records).
When it hurts / conflicts: the first token of a document sees nothing but itself: at share 1 attention gives it nothing.
Not in layers with paired heads; without `layers` those are passed over.
Source: modded-nanogpt record 82, and 85 with alpha a function of the token; their paper's form is `share: 1`.
"""

from collections.abc import Generator
from typing import Any, ClassVar

from coregpt_plugins._shared.inside import replaced
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from coregpt.api import Attend, Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, Share, Site, hookimpl


class Xsa(Plugin):
    """Goes around softmax attention itself; adds one scalar a head."""

    after: ClassVar[tuple[str, ...]] = ("paired_head_attention",)
    neutral: ClassVar[dict[str, Any] | None] = {"share": 0.0}

    share: Share | None = None
    """A fixed share that is taken out. Empty: tanh(alpha), learned."""
    layers: tuple[NonNegativeInt, ...] | None = None
    """Layers where it happens. Empty: all."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of alpha."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        if wrong := [layer for layer in self.layers or () if layer >= at.shape.depth]:
            raise PluginError(f"xsa: layer {wrong[0]} of a model with {at.shape.depth} layers")
        if self.share == 0 or (self.layers is not None and at.layer not in self.layers):
            return inner
        if at.has_shared(f"paired_head_attention.{at.layer}"):
            if self.layers is None:
                return inner
            raise PluginError(f"'xsa' and 'paired_head_attention' are both in layer {at.layer}; choose other layers")
        found = replaced(
            inner, lambda part: isinstance(part, Attend), lambda part: Exclusive(at, heads, part, self.share)
        )
        if found is None:
            raise PluginError(f"xsa at '{at.path}': expected core's softmax attention inside of {type(inner).__name__}")
        return found

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr, weight_decay=0.0) if param.path.endswith(".attend.xsa") else None


class Exclusive(nn.Module):
    """Attention `inner` (B, T, H, Dv) without what points along the query's own value (B, T, Hk, Dv)."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, share: float | None):
        super().__init__()
        self.inner, self.group, self.share = inner, heads.group, share
        self.alpha = at.scale("xsa", (heads.query,), 0.0) if share is None else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, v, x, ctx)
        own = v.repeat_interleave(self.group, -2).to(y.dtype).float() if self.group > 1 else v.to(y.dtype).float()
        along = (y.float() * own).sum(-1, keepdim=True) / own.square().sum(-1, keepdim=True).clamp(min=1e-8)
        share: Any = self.share if self.alpha is None else self.alpha.tanh().unsqueeze(-1)
        return (y.float() - share * along * own).to(y.dtype)
