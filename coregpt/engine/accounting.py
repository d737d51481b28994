"""What a run costs: parameters and FLOPs, counted by core on the model that was built, never by plugins."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from coregpt.contract.config import RunConfig
from coregpt.engine.attention.masks import SameDocument
from coregpt.engine.attention.pairs import counting
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.inputs import Given

MOMENTS = 8
"""Parts of a run in which dials that move smoothly are taken to stand still, where what is computed hangs on them."""


@dataclass(frozen=True)
class StageCost:
    """Steps that compute alike."""

    step: int
    """The one that was counted."""
    steps: int
    tokens: int
    """Trained on in all of them."""
    length: int
    """Tokens of a sequence."""
    flops_per_token: float


@dataclass(frozen=True)
class Cost:
    """Sizes of one run, known before it starts."""

    parameters: int
    parameters_by_role: dict[str, int]
    flops_per_token: float
    """Forward and backward matrix products per training token, the mean over the run. Attention counts the query-key
    pairs of blocks of 128 x 128 in which one is seen (`engine/attention/pairs.py`); softmax costs nothing extra, and
    element-wise work is not counted. A second pass that a companion asks for is counted in its steps."""
    steps: int
    tokens: int
    batch_rows: tuple[int, ...] = ()
    """Every number of rows that a step's batch has; ranks share a batch alike or not at all."""
    stages: tuple[StageCost, ...] = ()
    """Parts of the run whose steps cost different amounts per token, in the order in which they begin."""

    @property
    def flops(self) -> float:
        """Of the whole run, evaluation and optimizer left out."""
        return self.flops_per_token * self.tokens


def count(config: RunConfig, plugins: NamedPlugins, inputs: Given | None = None) -> Cost:
    """Builds the run without memory (meta device) and counts. Raises PluginError where plugins clash."""
    run = build(config, plugins, inputs=inputs, device="meta", separator=0)
    by_role: dict[str, int] = {}
    for path, info in run.assembly.infos.items():
        by_role[info.role] = by_role.get(info.role, 0) + run.assembly.params[path].numel()
    line = run.timeline
    stages = _merged([stage for parts in kinds(run) for stage in _stages(run, parts)])
    spent = sum(stage.flops_per_token * (stage.tokens / line.tokens) for stage in stages)
    rows = tuple(sorted({line.rows(step) for step in range(line.steps)}))
    return Cost(sum(by_role.values()), by_role, spent, line.steps, line.tokens, rows, stages)


def kinds(run: Run) -> list[list[list[int]]]:
    """All steps: together those of equal length, staged dials and second passes, and each kind of them in parts.

    Smooth dials reach what is computed through masks alone; where there are any, the run is cut in `MOMENTS` parts in
    each of which they are taken to stand still, else a kind is one part.
    """
    line = run.timeline
    rules = {rule for rules in run.assembly.masks.values() for rule in rules if not isinstance(rule, SameDocument)}
    moving = bool(rules) and any(isinstance(value, Tensor) for value in run.dials.values.values())
    found: dict[Any, dict[int, list[int]]] = {}
    for step in range(line.steps):
        clock = line.clock(step)
        wanted = tuple(companion.wants_pass(clock) for companion in run.companions)
        part = step * MOMENTS // line.steps if moving else 0
        kind = found.setdefault((line.lengths[step], run.dials.staged(clock), wanted), {})
        kind.setdefault(part, []).append(step)
    return [list(parts.values()) for parts in found.values()]


def _stages(run: Run, parts: list[list[int]]) -> list[StageCost]:
    """One kind of steps. Where the first, the last and the middle part cost the same, so do the others."""
    ends = {place: _stage(run, parts[place]) for place in {0, len(parts) // 2, len(parts) - 1}}
    costs = {stage.flops_per_token for stage in ends.values()}
    if len(costs) == 1:
        return [_summed(run, steps, ends[0].flops_per_token) for steps in parts]
    return [ends.get(place) or _stage(run, steps) for place, steps in enumerate(parts)]


def _stage(run: Run, steps: list[int]) -> StageCost:
    """Counted at the middle one of some steps that are taken to compute alike."""
    step = _middle(steps)
    run.dials.set(run.timeline.clock(step))
    return _summed(run, steps, _first_pass(run, run.timeline.lengths[step]) + _second_passes(run, step))


def _summed(run: Run, steps: list[int], per_token: float) -> StageCost:
    line, step = run.timeline, _middle(steps)
    return StageCost(step, len(steps), sum(line.batches[each] for each in steps), line.lengths[step], per_token)


def _middle(steps: list[int]) -> int:
    return steps[len(steps) // 2]


def _merged(stages: list[StageCost]) -> tuple[StageCost, ...]:
    """One entry for all that cost the same."""
    steps, tokens = Counter[tuple[int, float]](), Counter[tuple[int, float]]()
    first: dict[tuple[int, float], int] = {}
    for stage in stages:
        key = stage.length, stage.flops_per_token
        first.setdefault(key, stage.step)
        steps[key] += stage.steps
        tokens[key] += stage.tokens
    return tuple(StageCost(step, steps[key], tokens[key], *key) for key, step in first.items())


def _first_pass(run: Run, length: int, rows: int = 2) -> float:
    tokens: Tensor = torch.zeros(rows, length, dtype=torch.long, device="meta")
    return _per_token(run, lambda: run.model(tokens, tokens, run.dials.values)[0], tokens)


def _second_passes(run: Run, step: int) -> float:
    """Of the companions that want one. A companion may use a part of the micro-batch, so it is given all of one."""
    line, clock = run.timeline, run.timeline.clock(step)
    rows = min(run.config.micro_rows or line.rows(step), line.rows(step)) * line.sequences(step)
    tokens: Tensor = torch.zeros(rows, line.lengths[step], dtype=torch.long, device="meta")

    def training_loss(tokens: Tensor, targets: Tensor) -> Tensor:
        return run.model(tokens, targets, run.dials.values)[0]

    wanted = [companion for companion in run.companions if companion.wants_pass(clock)]
    losses = [partial(companion.pass_loss, training_loss, tokens, tokens) for companion in wanted]
    return sum(_per_token(run, loss, tokens) for loss in losses)


def _per_token(run: Run, loss: Callable[[], Tensor], tokens: Tensor) -> float:
    """FLOPs of a forward and a backward pass."""
    # Fused attention kernels are counted as zero on CPU and meta; the plain formula is two products.
    counter: Any = FlopCounterMode(display=False)
    counter.mod_tracker = _InNoModule()
    with counting(run.dials.numbers), sdpa_kernel(SDPBackend.MATH), counter:
        loss().backward()
    total: int = counter.get_total_flops()
    return total / tokens.numel()


class _InNoModule(contextlib.nullcontext[None]):
    """All FLOPs are counted as one sum: torch's look at modules fails in a pass without gradients of a companion."""

    parents = frozenset({"Global"})
