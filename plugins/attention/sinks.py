"""Give every head a learned place to put attention that it does not want to spend on any token.

Softmax gets one more score per head, s, whose value is zero: `y = sum_j exp(s_j) v_j / (exp(s) + sum_j exp(s_j))`,
which is the plain output times `sigmoid(lse - s)`, lse being the logarithm of the plain sum.

Suggested settings: the default; a lower start is nearer to plain attention (at -20 no difference is left).
When it hurts / conflicts: every head starts a little quieter than without. A gate on heads does much the same.
Source: gpt-oss (OpenAI 2025, arXiv:2508.10925); Xiao et al. 2023, arXiv:2309.17453; Miller 2023, "Attention is off
by one" (s fixed at 0).
"""

from collections.abc import Generator

from torch import Tensor, nn

from coregpt.api import Context, Heads, Plugin, Site, hookimpl


class WithSink(nn.Module):
    """Attention `inner` (B, T, H, Dv) times the share of attention that its tokens get."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, start: float):
        super().__init__()
        self.inner = inner
        self.lse = at.watch("lse")
        self.sink = at.scale("sink", (heads.query,), start)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, v, x, ctx)
        kept = (ctx.saved[self.lse] - self.sink).sigmoid().unsqueeze(-1)
        return y * kept.to(y.dtype)


class Sinks(Plugin):
    start: float = 0.0
    """Initial score of every sink."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        return WithSink(at, heads, (yield), self.start)
