"""The questions a plugin may answer: the table of contents of everything that can be changed.

Hooks are asked while a model is built and never again. The prefix is the semantics:

- `make_*` builds one part. At most one plugin may answer a site (return None to pass); any number may wrap
  it with `@hookimpl(wrapper=True)`, where `part = yield` is what the plugins inside made.
- `add_*` collects what every plugin answers.

Shapes: B batch, T tokens of a row; `x`, `y` are (B, T, dim). H heads of width D make queries `q` (B, T, H, D); keys
`k` (B, S, Hk, D) and values `v` (B, S, Hk, Dv) may have fewer heads and another width. An implementation leaves out
the arguments that it does not need.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from coregpt.contract.companion import Companion
from coregpt.contract.heads import Heads
from coregpt.contract.plugin import hookspec
from coregpt.contract.rules import DecayRule, ParamGroup, ParamInfo, ParamRule, Schedule, UpdateRule
from coregpt.contract.site import Site

if TYPE_CHECKING:
    from coregpt.contract.runview import RunView

Answer = nn.Module | None
MaskRule = Callable[[Tensor, Tensor, Tensor, Tensor, Any], Tensor]
ScoreRule = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Any], Tensor]


class Hooks:
    """Specifications only; pluggy reads the signatures, people read the docstrings."""

    @hookspec
    def make_embedding(self, at: Site) -> Answer:
        """Module `(tokens, ctx) -> x` that turns (B, T) ids into the first residual stream.

        Default: a table (V, dim), role `embedding`.
        """

    @hookspec
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Answer:
        """Module `(x, ctx) -> x` from the first block's input to the final norm's: all layers.

        `block(layer)` builds the block of a layer, at `blocks.{layer}`; each at most once. Default: every layer from 0
        to depth - 1, in turn. For loops over blocks, early exits, skips between layers.
        """

    @hookspec
    def make_block(self, at: Site) -> Answer:
        """Module `(x, ctx) -> x`: one layer. Default: an attention branch, then an MLP branch."""

    @hookspec
    def make_connection(self, at: Site) -> Answer:
        """How a branch meets the residual stream: a module with `read(x, ctx)` and `write(x, y, ctx)`.

        Default: `read` gives x, `write` gives x + y. Sites: `attention.connection`, `mlp.connection`.
        """

    @hookspec
    def make_norm(self, at: Site, dim: int) -> Answer:
        """Module `(x) -> x` over the last dimension, of width `dim`.

        Sites: `pre` and `post` around every branch, `entry_norm` before the first block (after positions),
        `final_norm` before the head. Default: RMSNorm without gain; identity at `post` and `entry_norm`.
        """

    @hookspec
    def make_attention(self, at: Site) -> Answer:
        """Module `(x, ctx) -> y`. Default: q, k, v projections, position, attend, output projection."""

    @hookspec
    def make_position(self, at: Site, dim: int, heads: Heads) -> Answer:
        """Module `(q, k, ctx) -> (q, k)` on heads of width `dim`: how attention learns where tokens stand.

        `heads` has the sizes of the attention; `dim` may be a part of `heads.width`.

        Default: learned absolute positions. The first layer that relies on them adds one table
        (context, dim) to the embedding; where every layer's position is claimed there is no such table.
        """

    @hookspec
    def make_attend(self, at: Site, heads: Heads) -> Answer:
        """Module `(q, k, v, x, ctx) -> y` (B, T, H, Dv): softmax attention under the site's mask; sizes in `heads`.

        Default: `attend` under `at.masks()` with `at.score_rules(heads)`; scale 1 / sqrt(D). A part around it may
        ask for the softmax's sums or the largest score with `at.watch`; one in its place serves `at.watched()`.
        """

    @hookspec
    def make_mlp(self, at: Site) -> Answer:
        """Module `(x, ctx) -> y`. Default: up, activation, down."""

    @hookspec
    def make_activation(self, at: Site, width: int) -> Answer:
        """Module over hidden tensors (B, T, width) with attributes `inputs` and `width`.

        `inputs = 1`: called with `up(x)`. `inputs = 2`: gated, called with `up(x), gate(x)`. The argument
        is the width an ungated MLP gets; the answer's `width` is the one it wants. Default: GELU.
        """

    @hookspec
    def make_linear(self, at: Site, d_in: int, d_out: int) -> Answer:
        """Module `(x) -> y` from width `d_in` to `d_out`. Every linear map of the model asks here.

        Default: weight (d_out, d_in), no bias.
        """

    @hookspec
    def make_head(self, at: Site) -> Answer:
        """Module `(x) -> logits` (B, T, V). Default: a linear map of its own (untied), role `head`."""

    @hookspec
    def make_loss(self, at: Site) -> Answer:
        """Module `(logits, targets, ctx) -> scalar`: what training minimises (evaluation never asks).

        `ctx.hidden` are the final hidden states, `ctx.head(hidden)` their logits, `ctx.embed(tokens)` the embedding. A
        module with `needs_logits = False` gets None for logits, which are not made if no loss needs them.
        Default: mean next-token cross-entropy.
        """

    @hookspec
    def make_update(self, group: ParamGroup) -> UpdateRule | None:
        """The update rule of one role and shape. Default: AdamW with the run's `optim` options."""

    @hookspec
    def make_decay(self, group: ParamGroup) -> DecayRule | None:
        """How the weights of one group shrink. Default: lr x weight_decay x p, decoupled."""

    @hookspec
    def add_logit_transforms(self, at: Site) -> Answer:
        """Module `(logits, ctx) -> logits`, part of the model (evaluation sees it). Applied in order.

        One that works on each logit by itself may have a method `slope(logits, bent)`, its derivative at each logit,
        `bent` being what it made of them: then training never holds more logits than fit, where they are too many.
        """

    @hookspec
    def add_masks(self, at: Site) -> MaskRule | None:
        """Predicate `(b, h, q, k, ctx) -> bool tensor`: may query q of row b and head h see key k? ANDed with causal.

        Arguments are index tensors that broadcast; a mask has heads only where a rule uses h. Make it a frozen
        dataclass with `__call__`: layers whose rules are equal share one mask.
        """

    @hookspec
    def add_score_rules(self, at: Site, heads: Heads) -> ScoreRule | None:
        """Module or callable `(score, b, h, q, k, ctx) -> score`: changes scaled scores (fp32) before softmax.

        `b`, `h`, `q`, `k` are index tensors that broadcast against `score`, or numbers of one score on CUDA, where
        the rule is FlexAttention's `score_mod`: use element-wise operations and look-ups by index only. Gradients
        go through, also to parameters of the rule. Asked where the default `make_attend` is built. Applied in order.
        """

    @hookspec
    def add_losses(self, at: Site) -> dict[str, nn.Module] | None:
        """`{name: module (logits, targets, ctx) -> scalar}` added to the training loss, logged by name.

        As for `make_loss`, a module may read `ctx.hidden` and do without logits.
        """

    @hookspec
    def add_schedules(self, run: "RunView") -> dict[str, Schedule] | None:
        """`{dial: f(clock) -> float}` (smooth: a 0-d tensor in the graph) or `{dial: Stages(...)}` (static).

        Reserved: `lr` multiplies every learning rate; `batch_tokens` and `seq_len` (Stages) size the batch.
        """

    @hookspec
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        """Multipliers, a role, an initial value, a label, betas or epsilon for one parameter, asked when it is made."""

    @hookspec
    def add_companions(self, run: "RunView") -> Companion | None:
        """An object that acts at certain moments of the run (see `Companion`)."""
