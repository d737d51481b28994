"""What a run costs: parameters and FLOPs, counted by core on the model that was built, never by plugins."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from coregpt.contract.config import RunConfig
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.inputs import Given
from coregpt.engine.pairs import counting


@dataclass(frozen=True)
class Cost:
    """Sizes of one run, known before it starts."""

    parameters: int
    parameters_by_role: dict[str, int]
    flops_per_token: float
    """Forward and backward matrix products per training token. Attention counts the query-key pairs of
    blocks of 128 x 128 in which one is seen (`engine/pairs.py`), with a moving window on average over the run; a pair
    costs nothing extra for softmax, and element-wise work is not counted."""
    steps: int
    tokens: int
    batch_rows: tuple[int, ...] = ()
    """Every number of rows that a step's batch has; ranks share a batch alike or not at all."""

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
    lengths = run.timeline.lengths
    share = {length: lengths.count(length) / len(lengths) for length in sorted(set(lengths))}
    flops = sum(weight * _at_moments(run, length) for length, weight in share.items())
    rows = tuple(sorted({batch // run.timeline.context for batch in run.timeline.batches}))
    return Cost(sum(by_role.values()), by_role, flops, run.timeline.steps, run.timeline.tokens, rows)


MOMENTS = 5
"""Steps at which masks are counted, evenly spaced over those of one length: dials may move them."""


def _at_moments(run: Run, length: int) -> float:
    steps = [step for step, size in enumerate(run.timeline.lengths) if size == length]
    moments = min(MOMENTS, len(steps)) if any(run.assembly.masks.values()) else 1
    found = []
    for moment in range(moments):
        run.dials.set(run.timeline.clock(steps[len(steps) * (2 * moment + 1) // (2 * moments) if moments > 1 else 0]))
        found.append(_per_token(run, length))
    return sum(found) / len(found)


def _per_token(run: Run, length: int, rows: int = 2) -> float:
    tokens: Tensor = torch.zeros(rows, length, dtype=torch.long, device="meta")
    # Fused attention kernels are counted as zero on CPU and meta; the plain formula is two products.
    with counting(run.dials.numbers), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss, _ = run.model(tokens, tokens, run.dials.values)
        loss.backward()
    return counter.get_total_flops() / tokens.numel()
