"""Let two small networks say, for every token, how loud each head of each layer is and what it leaves out.

One network reads what enters the first block, for blocks 0 to `late`; the other what leaves block `late`, for those
after it. Each gives numbers c = scale (gelu(rms(x) W_1) W_2 + b), scale learned, for the heads of chosen layers:

    gate_layers: y_h <- c y_h, c = 0.25 at first
    xsa_layers:  y_h <- y_h - tanh(c) (y_h . v / max(|v|^2, 1e-8)) v, v the token's own value, c = 0 at first

W_1 is (dim, width); W_2 starts at zero, so that numbers start as b / scale has it. b and scale do not decay.

Suggested settings: the defaults, which are the record's layers scaled to the depth: gates in 3 and 10 of 11, the other
rule in 1, 3, 4 and 7, late 4; lr 0.1.
When it hurts / conflicts: heads start at a quarter of what they say. In the record the same networks also set shares of
n-gram tables, of the embedding, of a skip and of mixed maps, which here belong to techniques of their own. Not in
layers with paired heads. Streams of several lanes and loops have no place for it; routed blocks see some tokens only.
Source: modded-nanogpt record 85; Xiao et al. 2025 (MUDD), arXiv:2502.12170, where such networks weigh layers.
"""

import math
from collections.abc import Callable, Generator
from typing import Any, ClassVar

import torch.nn.functional as F
from coregpt_plugins._shared.inside import replaced
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from coregpt.api import Attend, Context, Heads, ParamInfo, ParamRule, Plugin, PluginError, RMSNorm, Site, hookimpl

NAME = "mudd_gates"
Layers = tuple[NonNegativeInt, ...]


class MuddGates(Plugin):
    """Goes around softmax attention itself, one block and the stack."""

    after: ClassVar[tuple[str, ...]] = ("paired_head_attention",)
    conflicts: ClassVar[tuple[str, ...]] = (
        "hyper_connections",
        "layer_sharing",
        "looped",
        "mhc",
        "mixture_of_depths",
        "partitioned_hc",
        "sparse_attn_gate",
        "xsa",
    )

    gate_layers: Layers | None = None
    """Layers whose heads are turned up and down. Empty: 3 L // 11 and the last."""
    xsa_layers: Layers | None = None
    """Layers whose heads leave out their own value. Empty: L // 11, 3 L // 11, 4 L // 11 and 7 L // 11."""
    late: NonNegativeInt | None = None
    """The block whose output the second network reads. Empty: 4 L // 11."""
    width: PositiveInt = 64
    """Of the networks."""
    scale: PositiveFloat = 0.1
    """scale at first."""
    lr: NonNegativeFloat = 1.0
    """Multiplies the learning rate of all that is added."""

    def places(self, depth: int) -> tuple[Layers, Layers, int]:
        """Layers with gates, layers with the other rule, the late source."""
        gates = tuple({3 * depth // 11, depth - 1}) if self.gate_layers is None else self.gate_layers
        own = tuple({n * depth // 11 for n in (1, 3, 4, 7)}) if self.xsa_layers is None else self.xsa_layers
        late = 4 * depth // 11 if self.late is None else self.late
        if wrong := [layer for layer in (*gates, *own, late) if layer >= depth]:
            raise PluginError(f"{NAME}: layer {wrong[0]} of a model with {depth} layers")
        return gates, own, late

    def network(self, at: Site, which: str) -> "Network":
        made: Network = at.shared(f"{NAME}.{which}", lambda site: Network(site, self.width, self.scale))
        return made

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site, heads: Heads) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        gates, own, late = self.places(at.shape.depth)
        if at.layer is None or at.layer not in (*gates, *own):
            return inner
        if at.has_shared(f"paired_head_attention.{at.layer}"):
            raise PluginError(f"'{NAME}' and 'paired_head_attention' are both in layer {at.layer}; choose other layers")
        network, kinds = self.network(at, "late" if at.layer > late else "early"), (at.layer in gates, at.layer in own)
        make = lambda core: Told(at.child(NAME), heads, core, network, kinds)  # noqa: E731
        found = replaced(inner, lambda part: isinstance(part, Attend), make)
        if found is None:
            raise PluginError(f"{NAME} at '{at.path}': expected core's softmax attention, got {type(inner).__name__}")
        return found

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        block = yield
        here = at.layer == self.places(at.shape.depth)[2]
        source: nn.Module = at.shared(f"{NAME}.source", lambda site: Source(block)) if here else block
        return source

    @hookimpl(wrapper=True)
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Generator[None, nn.Module, nn.Module]:
        stack = yield
        if at.has_shared(f"{NAME}.late"):
            at.shared(f"{NAME}.source", lambda site: Source(nn.Identity())).network = self.network(at, "late")
        return Before(stack, self.network(at, "early")) if at.has_shared(f"{NAME}.early") else stack

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        if f"{NAME}." not in param.path:
            return None
        kept = param.path.rpartition(".")[2] in ("scale", "gate_bias", "own_bias")
        return ParamRule(lr=self.lr, weight_decay=0.0 if kept else 1.0)


class Network(nn.Module):
    """What all layers of one kind read, left in `ctx.saved` for them: scale gelu(rms(x) W_1) and scale itself."""

    def __init__(self, at: Site, width: int, scale: float):
        super().__init__()
        dim = at.shape.dim
        self.norm = RMSNorm(dim)
        self.first = at.linear("first", dim, width, role="gate", std=1 / math.sqrt(3 * dim))
        self.width, self.start, self.scale = width, scale, at.scale("scale", (), scale)
        self.key = at.path

    def forward(self, x: Tensor, ctx: Context) -> None:
        ctx.saved[self.key] = self.scale * F.gelu(self.first(self.norm(x)))


class Before(nn.Module):
    """The stack `inner`, whose input a network reads."""

    def __init__(self, inner: nn.Module, network: Network):
        super().__init__()
        self.inner, self.network = inner, network

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        self.network(x, ctx)
        y: Tensor = self.inner(x, ctx)
        return y


class Source(nn.Module):
    """A block, whose output a network reads if there is one."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block
        self.network: nn.Module | None = None

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.block(x, ctx)
        if self.network is not None:
            self.network(y, ctx)
        return y


class Told(nn.Module):
    """Attention `inner` (B, T, H, Dv), each head of each token with the numbers a network gives it."""

    def __init__(self, at: Site, heads: Heads, inner: nn.Module, network: Network, kinds: tuple[bool, bool]):
        super().__init__()
        self.inner, self.group, self.network = inner, heads.group, network
        names = [name for name, here in zip(("gate", "own"), kinds, strict=True) if here]
        made = {name: at.linear(name, network.width, heads.query, role="gate", std=0.0) for name in names}
        starts = {"gate": 0.25 / network.start, "own": 0.0}
        self.second = nn.ModuleDict(made)
        self.bias = nn.ParameterDict({name: at.scale(f"{name}_bias", (heads.query,), starts[name]) for name in names})

    def forward(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, ctx: Context) -> Tensor:
        y: Tensor = self.inner(q, k, v, x, ctx)
        given = ctx.saved[self.network.key]
        c = {
            name: (part(given) + self.network.scale * self.bias[name]).unsqueeze(-1)
            for name, part in self.second.items()
        }
        if "own" in c:
            own: Any = v.to(y.dtype).float()
            own = own.repeat_interleave(self.group, -2) if self.group > 1 else own
            along = (y.float() * own).sum(-1, keepdim=True) / own.square().sum(-1, keepdim=True).clamp(min=1e-8)
            y = (y.float() - c["own"].float().tanh() * along * own).to(y.dtype)
        return y * c["gate"].to(y.dtype) if "gate" in c else y
