"""The parts core puts in where no plugin claims a place: a plain pre-norm GPT-2-style decoder.

Shapes: B batch, T tokens, H heads, D head width. The residual stream x is (B, T, dim).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.contract.heads import Heads
from coregpt.contract.site import Site
from coregpt.engine.arithmetic.ends import added_product, at_once, normed_products, untouched
from coregpt.engine.arithmetic.fused import cross_entropy, rms_norm, working_dtype
from coregpt.engine.arithmetic.whole_mlp import mlp_branch
from coregpt.engine.attention.attend import attend, in_blocks, refuse_misfits
from coregpt.engine.attention.whole import attended_product, attention_branch


class Linear(nn.Module):
    """y = x W^T, weight (d_out, d_in), no bias."""

    def __init__(self, at: Site, d_in: int, d_out: int):
        super().__init__()
        self.weight = at.weight("weight", (d_out, d_in))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def weights_of(linears: Sequence[nn.Module]) -> list[Tensor]:
    """Of core's own linear maps."""
    return [linear.weight for linear in linears if isinstance(linear, Linear)]


EMBEDDING = "embedding.weight"
"""Path of the table of `TokenEmbedding`, which a tied head uses too."""


class TokenEmbedding(nn.Module):
    """A table (V, dim), one row per token id."""

    def __init__(self, at: Site):
        super().__init__()
        self.weight = at.weight("weight", (at.shape.vocab, at.shape.dim), "embedding", at.shape.init_std)

    def forward(self, tokens: Tensor, ctx: Context) -> Tensor:
        return F.embedding(tokens, self.weight)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) without gain (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x)


class LearnedPosition(nn.Module):
    """Attention that relies on the learned table added to the embedding: nothing to do to q and k."""

    def __init__(self, at: Site):
        super().__init__()
        at.shared("positions", PositionTable)

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        return q, k


class PositionTable(nn.Module):
    """One learned vector per position (context, dim), as in GPT-2."""

    def __init__(self, at: Site):
        super().__init__()
        self.weight = at.weight("weight", (at.shape.context, at.shape.dim), "embedding", at.shape.init_std)

    def forward(self, length: int) -> Tensor:
        return self.weight[:length]


class Attend(nn.Module):
    """Softmax attention of (B, T, H, D) heads under this site's mask, with its score rules; serves `watch`."""

    def __init__(self, at: Site, heads: Heads):
        super().__init__()
        self.mask = at.masks(heads.query)
        self.scores = at.score_rules(heads)
        self.rules = nn.ModuleList(rule for rule in self.scores if isinstance(rule, nn.Module))
        self.watched = at.watched()

    def plain(self) -> bool:
        """Whether it attends under its mask and nothing else."""
        return not self.scores and not self.watched

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        lse, top = self.watched.get("lse"), self.watched.get("top")
        mask = ctx.masks[self.mask]
        if lse is None and top is None:
            return attend(q, k, v, mask, scores=self.scores, ctx=ctx, places=ctx.positions)
        found = attend(
            q,
            k,
            v,
            mask,
            scores=self.scores,
            ctx=ctx,
            places=ctx.positions,
            lse=lse is not None,
            top=top is not None,
        )
        if lse is not None:
            ctx.saved[lse] = found.lse
        if top is not None:  # a part that runs more than once has one largest score
            ctx.saved[top] = found.top.maximum(ctx.saved[top]) if top in ctx.saved else found.top
        return found.y


class Attention(nn.Module):
    """Multi-head attention: q, k, v projections, position, attend, output projection.

    With fewer `kv_heads` than the model's heads, groups of query heads share keys and values; `head_dim` is the width
    of queries and keys, `value_dim` that of values.
    """

    def __init__(
        self, at: Site, *, kv_heads: int | None = None, head_dim: int | None = None, value_dim: int | None = None
    ):
        super().__init__()
        shape = at.shape
        plain = Heads.of(shape, head_dim)
        self.heads = heads = Heads(
            plain.query, kv_heads or plain.keys, plain.width, value_dim or head_dim or plain.value_width
        )
        self.q = at.linear("q", shape.dim, heads.query * heads.width)
        self.k = at.linear("k", shape.dim, heads.keys * heads.width)
        self.v = at.linear("v", shape.dim, heads.keys * heads.value_width)
        self.position = at.position(heads.width, heads)
        self.attend = at.part("attend", heads=heads)
        self.out = at.linear("out", heads.query * heads.value_width, shape.dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        x = x.to(working_dtype(x))  # once, not in each projection
        q, k, v = (part(x).unflatten(-1, (heads, -1)) for part, heads in self._projections())
        q, k = self.position(q, k, ctx)
        return self.out(self.attend(q, k, v, x, ctx).flatten(-2))

    def at_once(self, x: Tensor, ctx: Context) -> Tensor | None:
        """x + self(rms_norm(x)) in one operation, or in one at each end of what a plugin claimed; None where that is a
        linear map or how heads attend."""
        linears, heads = (self.q, self.k, self.v, self.out), self.heads
        if not untouched(self.attend, Attend) or not all(untouched(each, Linear) for each in linears):
            return None
        *reading, writing = weights_of(linears)
        still, mask = untouched(self.position, LearnedPosition), ctx.masks[self.attend.mask]
        plain = isinstance(self.attend, Attend) and self.attend.plain() and in_blocks(working_dtype(x), heads, mask)
        plain = plain and type(x) is Tensor  # blocks read numbers and keep masks, which a fake tensor has none of
        if plain and still and mask is None:
            return attention_branch(x, heads, reading, writing)
        widths = (heads.query, heads.width), (heads.keys, heads.width), (heads.keys, heads.value_width)
        q, k, v = normed_products(x, reading, widths)
        if not still:
            q, k = self.position(q, k, ctx)
        if plain and q.dtype == k.dtype == v.dtype == working_dtype(x):
            refuse_misfits(q, k, v, mask)
            return attended_product(x, q, k, v, mask, writing)
        return added_product(x, self.attend(q, k, v, x, ctx), writing)

    def _projections(self) -> tuple[tuple[nn.Module, int], ...]:
        return (self.q, self.heads.query), (self.k, self.heads.keys), (self.v, self.heads.keys)


class GELU(nn.Module):
    """Exact GELU (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""

    inputs = 1

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, hidden: Tensor) -> Tensor:
        return F.gelu(hidden)


class MLP(nn.Module):
    """down(activation(up(x))), with a gate projection beside `up` when the activation has two inputs."""

    def __init__(self, at: Site):
        super().__init__()
        dim = at.shape.dim
        self.activation = at.activation(at.shape.hidden or 4 * dim)
        width = int(self.activation.width)  # type: ignore[arg-type]
        self.up = at.linear("up", dim, width)
        self.gate = at.linear("gate", dim, width) if self.activation.inputs == 2 else None
        self.down = at.linear("down", width, dim, writes=True)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        x = x.to(working_dtype(x))
        up = self.up(x)
        return self.down(self.activation(up) if self.gate is None else self.activation(up, self.gate(x)))

    def at_once(self, x: Tensor, ctx: Context) -> Tensor | None:
        """x + self(rms_norm(x)) in one operation, or in one at each end of what a plugin claimed; None where that is a
        linear map."""
        reading = [self.up] if self.gate is None else [self.up, self.gate]
        if not all(untouched(each, Linear) for each in (*reading, self.down)):
            return None
        weights = weights_of(reading)
        if self.gate is None and untouched(self.activation, GELU):
            return mlp_branch(x, *weights, *weights_of([self.down]))
        hidden = self.activation(*normed_products(x, weights, [(len(weight),) for weight in weights]))
        return added_product(x, hidden, *weights_of([self.down]))


class Residual(nn.Module):
    """The plain connection: a branch reads the stream and adds to it."""

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        return x

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        return x + y


class Branch(nn.Module):
    """connection.read -> norm -> attention or MLP -> post norm -> connection.write."""

    def __init__(self, block: Site, kind: str):
        super().__init__()
        at = block.child(kind)
        self.pre = at.norm("pre", at.shape.dim)
        self.inner = block.part(kind)
        self.post = at.norm("post", at.shape.dim)
        self.connection = at.part("connection")

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        connection: Any = self.connection
        if at_once(x) and self._plain():
            found: Tensor | None = self.inner.at_once(x, ctx)  # type: ignore[operator]
            if found is not None:
                return found
        y = self.inner(self.pre(connection.read(x, ctx)), ctx)
        return connection.write(x, self.post(y), ctx)

    def _plain(self) -> bool:
        """Whether all but what is inside the attention or the MLP is core's own."""
        return (
            untouched(self.connection, Residual)
            and untouched(self.pre, RMSNorm)
            and untouched(self.post, nn.Identity)
            and (untouched(self.inner, Attention) or untouched(self.inner, MLP))
        )


class Block(nn.Module):
    """One layer: an attention branch, then an MLP branch."""

    def __init__(self, at: Site):
        super().__init__()
        self.attention = Branch(at, "attention")
        self.mlp = Branch(at, "mlp")

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return self.mlp(self.attention(x, ctx), ctx)


class Stack(nn.Module):
    """All blocks, one after the other."""

    def __init__(self, at: Site, block: Callable[[int], nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(block(layer) for layer in range(at.shape.depth))

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        for block in self.blocks:
            x = block(x, ctx)
        return x


class Head(nn.Module):
    """A linear map from the stream to logits (B, T, V): its own, or with the embedding's weight where they are tied."""

    def __init__(self, at: Site):
        super().__init__()
        shape = at.shape
        ties = EMBEDDING if shape.tied else None
        out = at.child("out", role="head", std=shape.init_std, ties=ties)
        self.out = at.ask("make_linear", out, d_in=shape.dim, d_out=shape.vocab)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


class NextToken(nn.Module):
    """Mean cross-entropy of logits (B, T, V) against the next tokens (B, T), in fp32."""

    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        return cross_entropy(logits.flatten(0, 1), targets.flatten())
