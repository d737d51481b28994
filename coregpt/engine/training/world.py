"""The ranks that train one run together. One process alone is a world of size 1."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# The newer name where there is one: torch 2.13 deprecates the older.
gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def _nothing() -> None:
    """There is nobody to wait for."""


@dataclass(frozen=True)
class World:
    """Rank and size, and the collectives the engine uses."""

    rank: int = 0
    size: int = 1

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Sum over ranks, in place; the same bits on every rank."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_max(self, tensor: Tensor) -> Tensor:
        """Largest of each number over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor

    def all_gather(self, whole: Tensor, mine: Tensor) -> None:
        """Fill `whole` (size x n, ...) with every rank's `mine` (n, ...)."""
        self.begin_gather(whole, mine)()

    def begin_gather(self, whole: Tensor, mine: Tensor) -> Callable[[], object]:
        """Begin to fill `whole`; it must not be touched before what is returned has been called.

        Ranks must begin in one order. On CUDA, NCCL copies beside the kernels that come next.
        """
        if self.size == 1:
            return _nothing
        wait: Callable[[], object] = gather(whole, mine.clone(), async_op=True).wait
        return wait

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


def join(device: str) -> World:
    """The world torchrun describes in the environment; alone if it does not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return World(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
