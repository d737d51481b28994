"""A Site says where a part goes and makes what is inside it.

Parts never reach into each other: they are handed a Site, ask it for linears, norms and parameters, and are
found again by path. Values of parameters depend on (seed, path) only, so that arms of one seed start from
identical shared weights and no plugin shifts another's random numbers.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from coregpt.contract.answers import sources
from coregpt.contract.config import ModelShape
from coregpt.contract.context import Live
from coregpt.contract.errors import PluginError
from coregpt.contract.heads import Heads
from coregpt.contract.input import Input, Inputs
from coregpt.contract.randomness import Noise
from coregpt.contract.record import CORE, Record, quoted
from coregpt.contract.rules import ParamInfo, ParamRule, Role

Watched = Literal["lse", "top"]


@dataclass
class Assembly:
    """The model under construction: hooks to ask, and everything made so far."""

    shape: ModelShape
    seed: int
    device: torch.device
    hook: Any
    params: dict[str, nn.Parameter] = field(default_factory=dict)
    infos: dict[str, ParamInfo] = field(default_factory=dict)
    rules: dict[str, ParamRule] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    shared_by: dict[str, str] = field(default_factory=dict)
    """By key the module whose function made the part."""
    masks: dict[Hashable, tuple[Any, ...]] = field(default_factory=dict)
    """Distinct sets of mask rules; filled by attention parts, built once per forward pass."""
    noises: set[str] = field(default_factory=set)
    """Names of all streams of random numbers that parts asked for."""
    live: Live = field(default_factory=Live)
    mask_heads: dict[Hashable, int] = field(default_factory=dict)
    """How many heads the rules of each set may tell apart."""
    watched: dict[str, dict[str, str]] = field(default_factory=dict)
    """By site: what is asked of attention there beside its output, with the key in `ctx.saved`."""
    watchers: dict[str, str] = field(default_factory=dict)
    """By site: the plugin that asked first, with file and line."""
    serving: set[str] = field(default_factory=set)
    """Sites with an attend part that knows what is asked of it."""
    inputs: Inputs = field(default_factory=lambda: Inputs({}))
    record: Record = field(default_factory=Record)


@dataclass(frozen=True)
class Site:
    """One place in the model, `path` long (`blocks.0.mlp.up`). Immutable; children are made from it."""

    assembly: Assembly
    path: str
    layer: int | None = None
    """Number of the block this site lies in; None outside blocks."""
    role: Role = "matrix"
    writes: bool = False
    """The site is a projection into the residual stream."""
    std: float = 0.02
    """Standard deviation a weight made here starts with, unless it says otherwise."""
    ties: str | None = None
    """Path of the parameter that `weight` gives here in place of one of its own, where shapes agree."""

    @property
    def shape(self) -> ModelShape:
        return self.assembly.shape

    @property
    def device(self) -> torch.device:
        """Where buffers belong (parameters made here are already there)."""
        return self.assembly.device

    @property
    def live(self) -> Live:
        """`live.ctx` is the context of the pass that is running: for norms, linear maps, activations and heads."""
        return self.assembly.live

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rsplit(".", 1)[-1]

    def child(self, name: str, **changes: Any) -> "Site":
        """The site `name` inside this one; keeps the layer."""
        path = f"{self.path}.{name}" if self.path else name
        return replace(self, path=path, **{"ties": None, **changes})

    # -- parts, each one a question to the plugins ---------------------------------------------------

    def linear(
        self, name: str, d_in: int, d_out: int, role: Role = "matrix", writes: bool = False, std: float | None = None
    ) -> nn.Module:
        """A linear map. `writes` marks a projection into the residual stream (smaller initial weights)."""
        default = self.shape.init_std / (math.sqrt(2 * self.shape.depth) if writes else 1)
        at = self.child(name, role=role, writes=writes, std=default if std is None else std)
        return self.ask("make_linear", at, d_in=d_in, d_out=d_out)

    def norm(self, name: str, dim: int) -> nn.Module:
        """A norm over `dim`. Core leaves sites named `post` and `entry_norm` empty unless a plugin claims them."""
        return self.ask("make_norm", self.child(name), dim=dim)

    def position(self, dim: int, heads: Heads | None = None) -> nn.Module:
        """`(q, k, ctx) -> (q, k)` for heads of width `dim`; `heads` if they are not the plain model's."""
        return self.ask("make_position", self.child("position"), dim=dim, heads=heads or Heads.of(self.shape, dim))

    def activation(self, width: int) -> nn.Module:
        """The nonlinearity of an MLP of hidden width `width`, with its attribute `inputs`."""
        return self.ask("make_activation", self.child("activation"), width=width)

    def part(self, kind: str, name: str | None = None, heads: Heads | None = None, **changes: Any) -> nn.Module:
        """The part `make_{kind}` builds at the site `name` (default: `kind`) inside this one.

        `heads` is for `attend`, if its heads are not the plain model's.
        """
        more = {"heads": heads or Heads.of(self.shape)} if kind == "attend" else {}
        return self.ask(f"make_{kind}", self.child(name or kind, **changes), **more)

    def shared(self, key: str, make: Callable[["Site"], Any], layer: int | None = None) -> Any:
        """One part used from several sites: made at the path `shared.{key}` by whoever asks first.

        `layer` is the number of the block that it stands for, where a shared part needs one.
        """
        made, owner = self.assembly, make.__module__
        if key not in made.shared:
            made.shared_by[key] = owner
            made.shared[key] = make(Site(made, f"shared.{key}", layer))
        elif made.shared_by.get(key) != owner:
            names = " and in ".join(sorted((str(made.shared_by.get(key)), owner)))
            raise PluginError(f"the shared part '{key}' is made in {names}; give each part a key of its own")
        return made.shared[key]

    def has_shared(self, key: str) -> bool:
        """Whether a part asked for the shared part `key` (core's own: `positions`, the learned table)."""
        return key in self.assembly.shared

    def input(self, name: str) -> Input:
        """The weights that the run is given under `name`. Raises PluginError, saying what to write, for none."""
        return self.assembly.inputs.ask(name, self.path)

    def masks(self, heads: int | None = None) -> Hashable:
        """Collects `add_masks` for this site; returns the key of its rule set in `ctx.masks`.

        `heads` is the number of query heads, if it is not the plain model's.
        """
        rules = tuple(self.assembly.hook.add_masks(at=self))
        other = bool(rules) and heads not in (None, self.shape.heads)
        key: Hashable = (heads, rules) if other else rules
        self.assembly.masks.setdefault(key, rules)
        self.assembly.mask_heads[key] = heads or self.shape.heads
        return key

    def score_rules(self, heads: Heads) -> tuple[Any, ...]:
        """Collects `add_score_rules` for this site, in plugin order."""
        rules = tuple(self.assembly.hook.add_score_rules(at=self, heads=heads))
        for rule in rules:
            if not callable(rule):
                raise PluginError(f"add_score_rules at '{self.path}': expected a callable, got {type(rule).__name__}")
        return rules

    def random(self, name: str = "noise") -> Noise:
        """A stream of random numbers for `ctx.random`, from (seed, path, name). Each may be asked for once."""
        path = f"{self.path}.{name}" if self.path else name
        if path in self.assembly.noises:
            raise PluginError(f"random numbers '{path}' are asked for twice; two parts would see the same ones")
        self.assembly.noises.add(path)
        return Noise.of(self.assembly.seed, path)

    def watch(self, what: Watched) -> str:
        """Asks the attention at this site for more than its output; returns the key of `ctx.saved`.

        `lse`: the logarithm of each softmax's sum, (B, T, H) fp32, differentiable. `top`: the largest score of each
        head, (H,) fp32 without gradient. The attend part leaves it there whenever it runs. PluginError after the
        model is built if no part at this site does.
        """
        if what not in get_args(Watched):
            raise PluginError(f"watch at '{self.path}': expected one of {', '.join(get_args(Watched))}, got {what!r}")
        asks = sys._getframe(1)
        place = f" ({asks.f_code.co_filename}:{asks.f_lineno})"
        self.assembly.watchers.setdefault(self.path, f"plugin {quoted(self.assembly.record.turn)}{place}")
        return self.assembly.watched.setdefault(self.path, {}).setdefault(what, f"{self.path}.{what}")

    def watched(self) -> Mapping[str, str]:
        """For an attend part that serves `watch`: what is asked of it and under which key of `ctx.saved`.

        Keep it and read it in the forward pass: parts around this one may still ask for more while they are built.
        """
        self.assembly.serving.add(self.path)
        return self.assembly.watched.setdefault(self.path, {})

    # -- parameters: the only two ways to make one ------------------------------------------------------

    def weight(
        self, name: str, shape: tuple[int, ...], role: Role | None = None, std: float | None = None
    ) -> nn.Parameter:
        """A random parameter, N(0, std^2), drawn from (seed, path) alone."""
        tied = self.assembly.params.get(self.ties) if self.ties and name == "weight" else None
        if tied is not None and tuple(tied.shape) == shape:
            return tied
        return self._parameter(name, shape, role or self.role, self.std if std is None else std, 0.0)

    def scale(self, name: str, shape: tuple[int, ...], value: float, role: Role = "scalar") -> nn.Parameter:
        """A constant parameter: gains, biases, gates, lambdas."""
        return self._parameter(name, shape, role, 0.0, value)

    def _parameter(self, name: str, shape: tuple[int, ...], role: Role, std: float, mean: float) -> nn.Parameter:
        made = self.assembly
        path = f"{self.path}.{name}"
        if path in made.params:
            raise PluginError(_made_twice(path, made.record))
        info = ParamInfo(path, shape, _known(role, path), self.writes, self.layer, made.shape)
        rules = made.hook.add_param_rules(param=info)
        rule = merge_rules(path, rules)
        value = draw(shape, made.seed, path, std, mean, made.device)
        value = rule.init(value) if callable(rule.init) else value * rule.init if rule.init != 1 else value
        if getattr(value, "shape", None) != shape:
            asked, names = made.hook.add_param_rules.get_hookimpls(), made.record.givers(rules)
            who = sources("add_param_rules", [impl for impl in asked if impl.plugin_name in names])
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise PluginError(f"parameter '{path}': `init` must give a tensor of shape {shape}, got {got} from {who}")
        made.params[path] = nn.Parameter(value)
        made.infos[path] = replace(info, role=_known(rule.role or role, path))
        made.rules[path] = rule
        made.record.makers[path], made.record.drawn[path] = made.record.turn, (std, mean)
        return made.params[path]

    def ask(self, hook: str, at: "Site", **arguments: Any) -> nn.Module:
        module = getattr(self.assembly.hook, hook)(at=at, **arguments)
        if not isinstance(module, nn.Module):
            raise PluginError(f"{hook} at '{at.path}': expected a torch module, got {type(module).__name__}")
        return module


def _made_twice(path: str, record: Record) -> str:
    first, second = record.makers.get(path, record.turn), record.turn
    if first == second:
        return f"parameter '{path}' is made twice by {quoted(first)}; give each parameter of a place its own name"
    pair = sorted((first, second), key=lambda name: (name != CORE, name))
    return (
        f"parameter '{path}' is made by {' and by '.join(map(quoted, pair))}; "
        "enable only one of them, or give the parameter another name in one"
    )


def draw(shape: tuple[int, ...], seed: int, path: str, std: float, mean: float, device: torch.device) -> Tensor:
    """N(mean, std^2) in fp32 from (seed, path); on CPU first, so that every device gets the same bits."""
    if device.type == "meta" or std == 0:
        return torch.full(shape, mean, device=device)
    digest = hashlib.sha256(f"{seed}/{path}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return (torch.randn(shape, generator=generator) * std + mean).to(device)


def merge_rules(path: str, rules: list[ParamRule]) -> ParamRule:
    """Multipliers multiply, initial maps chain in plugin order, two different words on anything else are an error."""
    merged = ParamRule(**{word: _agreed(path, word, rules) for word in ("role", "label", "betas", "eps")})
    for rule in rules:
        merged = replace(
            merged,
            lr=merged.lr * rule.lr,
            weight_decay=merged.weight_decay * rule.weight_decay,
            init=_then(merged.init, rule.init),
        )
    return merged


def _agreed(path: str, word: str, rules: list[ParamRule]) -> Any:
    said = {getattr(rule, word) for rule in rules} - {None}
    if len(said) > 1:
        plural = word if word.endswith("s") else f"{word}s"
        raise PluginError(f"parameter '{path}': plugins give it different {plural}: {sorted(said)}")
    return next(iter(said), None)


def _known(role: Role, path: str) -> Role:
    if role not in get_args(Role):
        raise PluginError(
            f"parameter '{path}' has the role '{role}', expected one of {', '.join(get_args(Role))}; "
            "ParamRule(label=...) keeps parameters apart that have one role"
        )
    return role


def _then(first: Any, second: Any) -> Any:
    if not callable(first) and not callable(second):
        return first * second
    steps = [step if callable(step) else lambda value, by=step: value * by for step in (first, second)]
    return lambda value: steps[1](steps[0](value))
