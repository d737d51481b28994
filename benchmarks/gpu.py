"""`python -m benchmarks.gpu`: the speedrun's optimizer baseline, 162M parameters on one GPU, against a bare loop of it.

524,288 tokens a step in passes of 64 rows, bf16, compiled; random tokens from memory, so that no disk takes part.
Tokens per second, share of the matrix-product ceiling that this GPU was measured to have, peak memory, seconds to
compile, and graphs compiled after the clock has started while window, batch and momentum move. Each number is written
as soon as it is known. `--dry` does all of it with a tiny model on the CPU: it shows that the program runs, and its
numbers mean nothing. Writes `benchmarks/results/gpu.{json,md}`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._dynamo.utils import counters

from benchmarks.bare_speedrun import SpeedrunGPT, SpeedrunLoop
from benchmarks.pages import RESULTS, measured_with, table, write
from benchmarks.prices import Plugins
from benchmarks.steps import Stepper
from coregpt.api import Clock, Plugin, RunView, Schedule, hookimpl
from coregpt.contract.config import ModelShape, OptimConfig, RunConfig
from coregpt.engine.accounting import count
from coregpt.engine.data import TokenSource, TokenStream
from coregpt.lab.study.registry import Catalogue

BASELINE: dict[str, dict[str, Any]] = {
    "rope": {"truncate": True, "base": 1024},
    "qk_norm": {},
    "relu2": {},
    "zero_init": {"head": True},
    "softcap": {"shape": "isru", "cap": 15},
    "muon": {"lr": 0.025, "weight_decay": 0.05, "polar": "ns12"},
}
MEANINGLESS = "A tiny model on the CPU: these numbers mean nothing."
OPTIM = OptimConfig(lr=0.004, beta1=0.8, beta2=0.95, eps=1e-10, weight_decay=0.05, grad_clip=0)


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    shape: ModelShape
    batch_rows: int
    pass_rows: int
    device: str
    steps: int
    """Timed steps of each side."""
    product: int
    """Side of the square matrices whose product is timed."""
    moving: dict[str, dict[str, Any]]
    """Techniques whose schedules change sizes or masks."""

    def config(self, plugins: Plugins, steps: int = 400) -> RunConfig:
        tokens = self.batch_rows * self.shape.context
        return RunConfig(
            model=self.shape,
            optim=OPTIM,
            plugins={name: dict(options) for name, options in plugins.items()},
            tokens=steps * tokens,
            batch_tokens=tokens,
            micro_rows=self.pass_rows,
            eval_tokens=self.shape.context,
            device=self.device,  # type: ignore[arg-type]
            precision="bf16" if self.device == "cuda" else "fp32",
            compile=self.device == "cuda",
        )


FULL = Scale(
    ModelShape(vocab=50304, dim=768, depth=12, heads=6, context=1024),
    512,
    64,
    "cuda",
    steps=8,
    product=8192,
    moving={"window_warmup": {"step": 128}, "batch_schedule": {}},
)
DRY = Scale(
    ModelShape(vocab=61, dim=32, depth=2, heads=2, context=32),
    8,
    4,
    "cpu",
    steps=2,
    product=128,
    moving={"window_warmup": {"step": 8}, "batch_schedule": {}},
)


def source(scale: Scale) -> TokenSource:
    """Random ids: speed does not depend on what they say."""
    shape = scale.shape
    ids = np.random.default_rng(0).integers(1, shape.vocab, 8 * scale.batch_rows * shape.context, dtype=np.uint16)
    train, held_out = TokenStream([ids]), TokenStream([ids[: 4 * shape.context]])
    return TokenSource("random", "token", shape.vocab, train, held_out, held_out, separator=0, digest="random")


def wall(call: Callable[[], object], device: str) -> float:
    """Seconds until the device has done what `call` asked of it."""
    wait(device)
    begun = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - begun


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def ceiling(scale: Scale) -> float:
    """FLOP/s of one large bf16 matrix product, the best of several; fp32 in a dry run."""
    dtype = torch.bfloat16 if scale.device == "cuda" else torch.float32
    a, b = (torch.randn(scale.product, scale.product, device=scale.device, dtype=dtype) for _ in range(2))
    a @ b
    return 2 * scale.product**3 / min(wall(lambda: a @ b, scale.device) for _ in range(20))


@dataclass(frozen=True)
class Side:
    """One of the two loops."""

    tokens_per_second: float
    mfu: float
    peak_bytes: int
    first_step_seconds: float
    """With everything that is compiled, before and in it."""


def side(scale: Scale, make: Callable[[], Callable[[], object]], flops: float, most: float) -> Side:
    """`flops` per token, `most` per second. Made, stepped, and gone again."""
    if scale.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch._dynamo.reset()
    made = list[Callable[[], object]]()
    first = wall(lambda: made.append(make()), scale.device)
    step = made[0]
    first += wall(step, scale.device)
    rate = (
        scale.batch_rows * scale.shape.context / statistics.median(wall(step, scale.device) for _ in range(scale.steps))
    )
    peak = torch.cuda.max_memory_allocated() if scale.device == "cuda" else 0
    return Side(rate, rate * flops / most, peak, first)


def ours(scale: Scale, plugins: Plugins) -> Stepper:
    made = Stepper(scale.config(plugins), source=source(scale))
    if made.trainer.calls.note:
        raise RuntimeError(made.trainer.calls.note)
    return made


def bare(scale: Scale) -> Callable[[], object]:
    """The bare loop on the rows that a run of CoreGPT would read; its loss is read at every step, as there."""
    model = SpeedrunGPT(*(getattr(scale.shape, name) for name in ("vocab", "dim", "depth", "heads", "context")))
    muon = BASELINE["muon"]
    cuda = scale.device == "cuda"
    loop = SpeedrunLoop(model.to(scale.device), scale.pass_rows, cuda, cuda, OPTIM.lr, muon["lr"], muon["weight_decay"])
    order = Stepper(scale.config({}).model_copy(update={"device": "cpu", "compile": False}), source=source(scale))
    rows = iter(range(0, 10**9, scale.batch_rows))
    return lambda: loop.step(*order.trainer.train_step.order.rows(next(rows), scale.batch_rows)).item()


class Momentum(Plugin):
    """A dial that moves at every step, as a momentum warm-up does."""

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        def momentum(clock: Clock) -> float:
            return 0.85 + 0.1 * clock.progress

        return {"momentum": momentum}


def late_graphs(scale: Scale) -> tuple[int, int]:
    """Graphs compiled before the clock starts and after, over a whole run of moving schedules."""
    plugins = Catalogue().instances({**BASELINE, **scale.moving})
    config = scale.config({**BASELINE, **scale.moving}, steps=6).model_copy(update={"compile": True})
    torch._dynamo.reset()
    counters.clear()
    step = Stepper(config, [*plugins, ("momentum", Momentum())], source(scale))
    if step.trainer.calls.note:
        raise RuntimeError(step.trainer.calls.note)
    before = counters["stats"]["unique_graphs"]
    for number in range(step.run.timeline.steps):
        step.take(number)
    return before, counters["stats"]["unique_graphs"] - before


def shallow(scale: Scale) -> Scale:
    """Two layers, few words, a small batch: the number of graphs hangs on none of them, the time to compile does."""
    return replace(
        scale,
        shape=scale.shape.model_copy(update={"depth": 2, "vocab": min(scale.shape.vocab, 1024)}),
        batch_rows=min(scale.batch_rows, 8 * scale.pass_rows),
    )


def page(record: dict[str, Any]) -> list[str]:
    """What has been measured so far."""
    lines = ["# The speedrun's optimizer baseline on one GPU", "", record["where"], ""]
    if "ceiling" in record:
        lines += [f"Measured ceiling of one large matrix product: {record['ceiling'] / 1e12:.3g} TFLOP/s.", ""]
    cells = [
        [
            name,
            f"{s['tokens_per_second']:,.0f}",
            f"{s['mfu']:.1%}",
            f"{s['peak_bytes'] / 2**30:.1f}",
            f"{s['first_step_seconds']:.1f}",
        ]
        for name, s in record["sides"].items()
    ]
    lines += table("loop|tokens/s|of the ceiling|peak GiB|seconds to the end of the first step", cells)
    if len(record["sides"]) == 2:
        ours, bare = (record["sides"][name]["tokens_per_second"] for name in ("CoreGPT", "bare"))
        lines += ["", f"CoreGPT makes {ours / bare:.3f} times as many tokens per second as the bare loop."]
    if "graphs" in record:
        lines += ["", f"Graphs compiled before the clock starts: {record['graphs']}; after, while window, batch and"]
        lines += [f"momentum move: {record['late_graphs']} (a model of two layers)."]
    return lines


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="The speedrun's baseline on a GPU.")
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU; writes nothing unless told where")
    parser.add_argument("--out", type=Path, help="folder for the result (benchmarks/results)")
    options = parser.parse_args(argv)
    scale = DRY if options.dry else FULL
    if scale.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no usable GPU here; --dry runs a tiny model on the CPU")
    record: dict[str, Any] = {"where": MEANINGLESS if options.dry else measured_with(), "sides": {}}
    out = options.out or (None if options.dry else RESULTS)

    def found(**more: Any) -> None:
        """Written at once: the machine may be taken away before the end."""
        record.update(more)
        if out:
            write("gpu", page(record), record, out)

    found(ceiling=ceiling(scale))
    flops = count(scale.config(BASELINE), Catalogue().instances(BASELINE)).flops_per_token
    for name, make in (("CoreGPT", lambda: ours(scale, BASELINE)), ("bare", lambda: bare(scale))):
        found(sides={**record["sides"], name: asdict(side(scale, make, flops, record["ceiling"]))})
    before, late = late_graphs(shallow(scale))
    found(graphs=before, late_graphs=late)
    print("\n".join(page(record)))
    return record


if __name__ == "__main__":
    main()
