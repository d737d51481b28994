"""nGPT: keep hidden states and weights on the unit hypersphere; every layer is a learned step on it.

With n(x) = x / |x| over the last dimension and all learned vectors below one number per channel:
- Weights: after initialisation and after every update, rows of the embedding, the head and all matrices that
  read the stream have length 1, and so have columns of those that write into it.
- Residual: `h <- n(h + |alpha| (n(branch(h)) - h))`. No norms elsewhere.
- Attention: `q <- s_qk n(q)`, `k <- s_qk n(k)`, softmax scale sqrt(D) instead of 1 / sqrt(D).
- MLP: `(s_u W_up h) silu(sqrt(d) s_v W_gate h)` or, ungated, `act(sqrt(d) s_u W_up h)`.
- Logits: `z <- s_z z`, one s_z per token id.
- A learned vector that starts at `init` is stored as `scale` and used as `stored x init / scale`: `scale` sets
  how far one Adam step moves it (1 / sqrt(d) for alpha, s_qk and s_z; 1 for s_u and s_v).

`variant` picks what two public implementations do differently. `replication`: scale, then rotate, one s_qk for
all heads, sqrt(d) on the gate alone. `nvidia`: rotate, then scale, s_qk per head, sqrt(d) on both branches. That is
NVIDIA's design, not yet its published code, which does two more things the paper does not say: it normalises h again
before every step (`renormalise`; h is unit already, but gradients through the step lose the part that points outward),
and its position function is not a rotation (`form: nvidia` of rope). With both, and rate 0.05, it is that code.
Weight decay is turned off for every parameter. With core's learned positions h0 = n(token + position).

Suggested settings: with rope and swiglu, no warmup, the baseline's learning rate or higher.
When it hurts / conflicts: slower steps (a projection per update, norms in fp32). Excludes qk_norm, softcap and
zero_init (a zero row has no direction). Its authors go without weight decay and warmup, which is prescribed here.
Source: Loshchilov et al. 2024, arXiv:2410.01131; github.com/NVIDIA/ngpt; github.com/alxndrTL/nGPT.
"""

import math
from collections.abc import Generator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from coregpt.api import (
    MLP,
    Clock,
    Companion,
    Context,
    Linear,
    ParamRule,
    Plugin,
    PluginError,
    Prescription,
    RunView,
    Site,
    hookimpl,
    unit_norm,
)
from coregpt.api import Heads as HeadSizes

Wrapped = Generator[None, nn.Module, nn.Module]


class Scaler(nn.Module):
    """A learned vector that starts at `init` and is stored as `scale`."""

    def __init__(self, at: Site, name: str, shape: tuple[int, ...], init: float, scale: float):
        super().__init__()
        self.stored = at.scale(name, shape, scale)
        self.factor = init / scale

    def forward(self, times: float = 1.0) -> Tensor:
        return self.stored * (self.factor * times)


class Step(nn.Module):
    """The connection: from h towards the branch's direction, back onto the sphere."""

    def __init__(self, at: Site, rate: float, renormalise: bool):
        super().__init__()
        self.alpha = Scaler(at, "alpha", (at.shape.dim,), rate, at.shape.dim**-0.5)
        self.renormalise = renormalise

    def read(self, x: Tensor, ctx: Context) -> Tensor:
        return x

    def write(self, x: Tensor, y: Tensor, ctx: Context) -> Tensor:
        h = unit_norm(x) if self.renormalise else x.float()
        return unit_norm(torch.lerp(h, unit_norm(y), self.alpha().abs())).to(x.dtype)


class Unit(nn.Module):
    """Puts the sum of token and learned position on the sphere."""

    def forward(self, x: Tensor) -> Tensor:
        return unit_norm(x).to(x.dtype)


class Heads(nn.Module):
    """Unit q and k (B, T, H, D) times s_qk, before or after the position `inner`."""

    def __init__(self, at: Site, inner: nn.Module, dim: int, nvidia: bool):
        super().__init__()
        self.inner, self.rotate_first = inner, nvidia
        self.s_qk = Scaler(at, "s_qk", (at.shape.heads, dim) if nvidia else (dim,), 1.0, at.shape.dim**-0.5)
        self.sharpness = float(dim)
        """Attention divides scores by sqrt(D); times D that is the wanted factor sqrt(D)."""

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        if self.rotate_first:
            q, k = self.inner(q, k, ctx)
        s = self.s_qk()
        q, k = unit_norm(q) * (s * self.sharpness), unit_norm(k) * s  # attention rounds them, once
        if not self.rotate_first:
            q, k = self.inner(q, k, ctx)
        return q, k


class Hidden(nn.Module):
    """Scales what the activation `inner` sees, (B, T, width) each: the output of `up` and, if it has one, of `gate`."""

    def __init__(self, at: Site, inner: nn.Module, nvidia: bool):
        super().__init__()
        self.inner = inner
        self.inputs, self.width = int(inner.inputs), int(inner.width)  # type: ignore[arg-type]
        root = math.sqrt(at.shape.dim)
        self.factors = (root if nvidia or self.inputs == 1 else 1.0, root)[: self.inputs]
        names = ("s_u", "s_v")[: self.inputs]
        self.scales = nn.ModuleList(Scaler(at, name, (self.width,), 1.0, 1.0) for name in names)

    def forward(self, *inputs: Tensor) -> Tensor:
        each = zip(inputs, self.scales, self.factors, strict=True)
        y: Tensor = self.inner(*(x * scale(factor).to(x.dtype) for x, scale, factor in each))
        return y

    def move_to_weights(self, mlp: MLP) -> None:
        """Where the projections are core's own, they take the scales over."""
        made = {name: getattr(mlp, name) for name in ("up", "gate")[: self.inputs]}
        if all(type(projection) is Linear for projection in made.values()):
            for (name, projection), scale, factor in zip(made.items(), self.scales, self.factors, strict=True):
                setattr(mlp, name, Rows(projection, scale, factor))
            mlp.activation = self.inner


class Rows(nn.Module):
    """A projection with scaled outputs. Its weight is scaled instead, which has far fewer numbers."""

    def __init__(self, inner: Linear, scale: nn.Module, factor: float):
        super().__init__()
        self.inner, self.scale, self.factor = inner, scale, factor

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.inner.weight * self.scale(self.factor)[:, None])


class Logits(nn.Module):
    """One learned factor per token id."""

    def __init__(self, at: Site):
        super().__init__()
        self.s_z = Scaler(at, "s_z", (at.shape.vocab,), 1.0, at.shape.dim**-0.5)

    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        factor: Tensor = self.s_z()
        return logits * factor


class Sphere(Companion):
    """Projects weights onto the sphere, now and after every update."""

    def __init__(self, run: RunView):
        kinds = {"matrix", "embedding", "head"}
        chosen = [info for info in run.infos.values() if info.role in kinds]
        self.weights = [(run.params[info.path], -2 if info.writes else -1) for info in chosen]
        self.project()

    def after_update(self, clock: Clock) -> None:
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        for weight, dim in self.weights:
            weight.div_(torch.linalg.vector_norm(weight, dim=dim, keepdim=True).clamp_(min=1e-12))


class Ngpt(Plugin):
    conflicts = ("qk_norm", "softcap", "zero_init")
    prescribes: ClassVar[dict[str, Prescription]] = {
        "optim.weight_decay": Prescription(0.0, "arXiv:2410.01131, section 2.6"),
        "plugins.wsd.warmup": Prescription(0, "arXiv:2410.01131, section 2.6"),
        "plugins.cosine.warmup": Prescription(0, "arXiv:2410.01131, section 2.6"),
    }

    rate: PositiveFloat | None = None
    """Initial alpha, how far a branch moves the stream. Empty: 1 / depth. NVIDIA's code uses 0.05."""
    variant: Literal["replication", "nvidia"] = "replication"
    """Whose order of rotation and scaling, sharing of s_qk between heads and place of sqrt(d)."""
    renormalise: bool = False
    """Normalise the stream once more before each step, as NVIDIA's published code does."""

    @hookimpl
    def make_norm(self, at: Site) -> nn.Module:
        # A token alone is on the sphere already, and normalising it again would take away the part of its
        # gradient that points outward, which the definition keeps.
        return Unit() if at.name == "entry_norm" and at.has_shared("positions") else nn.Identity()

    @hookimpl
    def make_connection(self, at: Site) -> nn.Module:
        return Step(at, self.rate or 1 / at.shape.depth, self.renormalise)

    @hookimpl(wrapper=True)
    def make_position(self, at: Site, dim: int, heads: HeadSizes) -> Wrapped:
        if self.variant == "nvidia" and heads.group > 1:
            raise PluginError("ngpt: variant 'nvidia' has one s_qk for q and k of a head; key heads may not be shared")
        return Heads(at, (yield), dim, self.variant == "nvidia")

    @hookimpl(wrapper=True)
    def make_activation(self, at: Site) -> Wrapped:
        return Hidden(at, (yield), self.variant == "nvidia")

    @hookimpl(wrapper=True)
    def make_mlp(self, at: Site) -> Wrapped:
        mlp = yield
        if isinstance(mlp, MLP) and isinstance(mlp.activation, Hidden):
            mlp.activation.move_to_weights(mlp)
        return mlp

    @hookimpl
    def add_logit_transforms(self, at: Site) -> nn.Module:
        return Logits(at)

    @hookimpl
    def add_param_rules(self) -> ParamRule:
        return ParamRule(weight_decay=0.0)

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Sphere(run)
