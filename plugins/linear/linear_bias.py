"""Give linear maps a bias: y = W x + b.

Every matrix of attention and MLP gets a vector b of zeros, and with `head` the map to the logits too. Gates keep to
what they say themselves. Biases do not decay unless `decay` says so.

Suggested settings: `head: false` is GPT-2; the baseline of modded-nanogpt's optimization track has them in the head
too, and lets them decay.
When it hurts / conflicts: with few thousand parameters more they hardly matter, and records go without. The bias of a
key moves all scores of a query alike without positions, and then has no effect. Products that are computed with what is
around them (norm, residual) lose that, so steps take longer.
Source: Vaswani et al. 2017, arXiv:1706.03762; modded-nanogpt's optimization track (`head: true`).
"""

from collections.abc import Generator

from torch import Tensor, nn

from coregpt.api import ParamInfo, ParamRule, Plugin, Site, hookimpl


class Biased(nn.Module):
    """The linear map `inner` of x (..., d_in), plus b (d_out,)."""

    def __init__(self, at: Site, inner: nn.Module, d_out: int):
        super().__init__()
        self.inner = inner
        self.bias = at.scale("linear_bias", (d_out,), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y + self.bias.to(y.dtype)


class LinearBias(Plugin):
    """Wraps linear maps."""

    head: bool = False
    """The map to the logits has one too."""
    decay: bool = False
    """Biases decay as other parameters do."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Site, d_out: int) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        wanted = at.role == "matrix" or (self.head and at.role == "head")
        return Biased(at, inner, d_out) if wanted else inner

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(weight_decay=0.0) if param.path.endswith(".linear_bias") and not self.decay else None
