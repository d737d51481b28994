"""`python -m benchmarks.stacked_seeds`: would several seeds of one arm train faster as one stacked model?

Plain GPTs of `benchmarks/bare.py`: S models as stacked parameters, their gradients by `vmap`, AdamW with clipping per
model, one thread. "Times faster" compares their steps with S steps of CoreGPT on the same model, processor time, median
and range of 5 ratios. The difference is the largest one between a seed's losses stacked and in a plain loop of its own
over 10 steps. CoreGPT would do this where it is 1.3 times as fast. Writes `benchmarks/results/stacked_seeds.{json,md}`.
CPU only.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.bare import BareGPT, BareLoop
from benchmarks.measure import Ratio, compare
from benchmarks.overhead import ROWS, SHAPE
from benchmarks.pages import publish, table
from benchmarks.steps import Stepper
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.data import RowOrder, open_source

WORTH = 1.3
TINY = ModelShape(vocab=256, dim=64, depth=2, heads=2, context=64)
SMALL = ModelShape(vocab=256, dim=128, depth=4, heads=4, context=128)
CASES = ((TINY, 4, 2), (TINY, 4, 6), (SMALL, 4, 2), (SMALL, 4, 6), (SHAPE, ROWS, 2))
"""Shape, rows of a step, seeds."""


Rows = tuple[Tensor, Tensor]


def models(shape: ModelShape, count: int) -> list[BareGPT]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(BareGPT(shape.vocab, shape.dim, shape.depth, shape.heads, shape.context))
    return made


class Stacked:
    """Models of equal shape whose parameters are slices of common tensors.

    Attention is plain products, since `vmap` runs the fused kernel once per model.
    """

    def __init__(self, made: Sequence[BareGPT], bf16: bool):
        self.template, self.bf16 = made[0], bf16
        self.params = {name: p.detach().requires_grad_() for name, p in stack_module_state(list(made))[0].items()}
        self.optimizer = torch.optim.AdamW(self.params.values(), 2e-3, (0.9, 0.95), 1e-8, 0.1, fused=True)
        self.gradients = vmap(grad_and_value(self.loss))

    def loss(self, params: dict[str, Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        return functional_call(self.template, params, (tokens, targets))  # type: ignore[no-any-return]

    def step(self, tokens: Tensor, targets: Tensor) -> list[float]:
        """One update of every model, on (models, B, T); their losses."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16), sdpa_kernel(SDPBackend.MATH):
            grads, losses = self.gradients(self.params, tokens, targets)
        norms = torch.stack([grad.flatten(1).square().sum(1) for grad in grads.values()]).sum(0).sqrt()
        factor = (1.0 / (norms + 1e-6)).clamp(max=1.0)
        for name, param in self.params.items():
            param.grad = grads[name] * factor.view(-1, *[1] * (param.dim() - 1))
        self.optimizer.step()
        return losses.tolist()  # type: ignore[no-any-return]


class Alone:
    """The same models, one after the other."""

    def __init__(self, made: Sequence[BareGPT], bf16: bool):
        self.loops = [BareLoop(model, bf16) for model in made]

    def step(self, tokens: Tensor, targets: Tensor) -> list[float]:
        return [loop.step(x, y) for loop, x, y in zip(self.loops, tokens, targets, strict=True)]


def batches(context: int, rows: int, seeds: int) -> Iterator[Rows]:
    """Steps of all seeds, each in its own order: (seeds, rows, context)."""
    orders = [RowOrder(open_source("pydocs").train, context, seed) for seed in range(seeds)]
    for first in itertools.count(step=rows):
        inputs, targets = zip(*(order.rows(first, rows) for order in orders), strict=True)
        yield torch.stack(inputs), torch.stack(targets)


def difference(shape: ModelShape, rows: int, seeds: int, bf16: bool, steps: int = 10) -> float:
    """The largest difference of a loss in nats per token."""
    stacked, alone = (kind(models(shape, seeds), bf16) for kind in (Stacked, Alone))
    taken = itertools.islice(batches(shape.context, rows, seeds), steps)
    pairs = (zip(stacked.step(*batch), alone.step(*batch), strict=True) for batch in taken)
    return max(abs(a - b) for pair in pairs for a, b in pair)


def faster(shape: ModelShape, rows: int, seeds: int, bf16: bool, pairs: int) -> Ratio:
    """Alone over stacked."""
    tokens = rows * shape.context
    config = RunConfig(model=shape, tokens=400 * tokens, batch_tokens=tokens, precision="bf16" if bf16 else "fp32")
    alone, stacked = Stepper(config), Stacked(models(shape, seeds), bf16)
    taken = batches(shape.context, rows, seeds)
    return compare(lambda: [alone() for _ in range(seeds)], lambda: stacked.step(*next(taken)), pairs)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stacked_seeds", description="Seeds as one model.")
    parser.add_argument("--pairs", type=int, default=2, help="alternating pairs in each of 5 repetitions")
    parser.add_argument("--dry", action="store_true", help="the smallest case, and write nothing")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    asked = list(itertools.product(CASES, (False, True)))[: 1 if options.dry else None]
    rows, record = [], []
    for (shape, batch, seeds), bf16 in asked:
        ratio = faster(shape, batch, seeds, bf16, options.pairs)
        apart = difference(shape, batch, seeds, bf16)
        name = f"{shape.depth} x {shape.dim}, context {shape.context}, {batch} rows"
        found = [f"{ratio.median:.2f}", f"{ratio.low:.2f} - {ratio.high:.2f}", f"{apart:.1e}"]
        rows.append([name, str(seeds), "bf16" if bf16 else "fp32", *found])
        record.append({"shape": name, "seeds": seeds, "bf16": bf16, "faster": asdict(ratio), "difference": apart})
    lines = ["# Several seeds as one stacked model", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    lines += table("model|seeds|precision|times faster|range|largest difference", rows)
    if options.dry:
        print("\n".join(lines))
    else:
        publish("stacked_seeds", lines, {"worth": WORTH, "cases": record})


if __name__ == "__main__":
    main()
