"""What the laws need: a tiny source, a log in memory, a graph-counting compiler, two real ranks."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.utils._python_dispatch import TorchDispatchMode

from coregpt.contract.config import RunConfig
from coregpt.engine.build import build
from coregpt.engine.data import TokenSource, TokenStream
from coregpt.engine.trainer import train
from coregpt.engine.world import join, leave
from coregpt.lab.registry import Catalogue


def tiny_source(vocab: int = 61) -> TokenSource:
    """A few thousand tokens with some order in them (each follows from the one before, or jumps)."""
    random = np.random.default_rng(0)
    tokens = [1]
    for jump in random.random(6000):
        tokens.append((tokens[-1] * 5 + 3) % vocab if jump < 0.8 else int(random.integers(vocab)))
    array = np.array(tokens, dtype=np.uint16)
    streams = TokenStream([array[:5000]]), TokenStream([array[5000:]])
    return TokenSource("tiny", "token", vocab, *streams, separator=0, digest="tiny")


class Rows:
    """A sink that keeps rows in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | int]] = []

    def record(self, row: dict[str, float | int]) -> None:
        self.rows.append(row)

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]

    def without_times(self) -> list[dict[str, float | int]]:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in self.rows]


def stop_after(steps: int) -> Callable[[], bool]:
    """A `stop` that says yes at the n-th time it is asked, once per step."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= steps

    return stop


def counting_backend(model: nn.Module) -> tuple[Any, list[torch.fx.GraphModule]]:
    """The model compiled whole by a backend that only counts graphs (aot_eager underneath)."""
    from torch._dynamo.backends.debugging import aot_eager

    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append(graph)
        return aot_eager(graph, inputs)

    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, dynamic=False, backend=backend), graphs


class Matmuls(TorchDispatchMode):
    """Counts multiply-adds of executed matrix products by their own shapes, two FLOPs each."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            left = args[-2] if name in ("mm", "bmm") else args[1]
            self.flops += 2 * out.numel() * left.shape[-1]
        elif name == "_grouped_mm":
            self.flops += grouped_flops(args[0], args[1], out)
        elif "scaled_dot_product" in name or "flash_attention" in name:
            q, k = (args[1], args[2]) if "backward" in name else (args[0], args[1])
            pairs = q.numel() * k.shape[-2]  # B H T D x T
            self.flops += pairs * (8 if "backward" in name else 4)
        return out


def grouped_flops(left: Tensor, right: Tensor, out: Tensor) -> int:
    """A grouped product either splits rows over groups (2-D x 3-D) or sums within groups (2-D x 2-D)."""
    if left.dim() == 2 and right.dim() == 2:
        return 2 * left.shape[0] * left.shape[1] * right.shape[1]
    return 2 * out.numel() * left.shape[-1]


def two_ranks(configs: list[RunConfig], files: tuple[Path, ...] = ()) -> list[dict[str, Tensor]]:
    """Final weights of each config trained by two gloo processes on the tiny source."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_rank, (folder, configs, files), nprocs=2)
        return [torch.load(Path(folder) / f"{i}.pt") for i in range(len(configs))]


def _rank(rank: int, folder: str, configs: list[RunConfig], files: tuple[Path, ...]) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    world, catalogue, source = join("cpu"), Catalogue(files), tiny_source()
    for i, config in enumerate(configs):
        run = build(config, catalogue.instances(config.plugins), separator=0, world=world)
        train(run, source, Rows(), Path(folder) / f"checkpoint-{i}.pt")
        if rank == 0:
            torch.save(
                {name: param.detach().clone() for name, param in run.assembly.params.items()}, f"{folder}/{i}.pt"
            )
    leave()
