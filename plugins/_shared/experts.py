"""What mixtures of experts share: products of rows sorted by expert, and the bias that balances loads."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula

from coregpt.api import Clock, Companion, RunView


class Loaded(Protocol):
    """A mixture with a bias that chooses and a load that was counted, one number for each expert."""

    bias: Tensor
    load: Tensor


class Balance(Companion):
    """Moves each layer's bias against its load, summed over micro-batches and ranks."""

    def __init__(self, parts: Sequence[Loaded], run: RunView, rate: float):
        self.parts, self.run, self.rate = parts, run, rate

    def after_update(self, clock: Clock) -> None:
        for part in self.parts:
            load = self.run.all_reduce(part.load)
            part.bias.add_(self.rate * torch.sign(load.mean() - load))
            part.load.zero_()


@torch.library.custom_op("coregpt::expert_matmul", mutates_args=())
def expert_matmul(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """rows (M, a) sorted by expert; expert e owns those before `ends[e]`. Gives rows @ weight[e]^T, (M, b).

    An operator of its own because run lengths are data: inside it they are, around it shapes stay static.
    """
    if _has_kernel(rows, weight):
        return F.grouped_mm(rows, weight.mT, offs=ends)
    out, start = rows.new_empty(len(rows), weight.shape[1]), 0
    for expert, end in enumerate(ends.tolist()):
        torch.mm(rows[start:end], weight[expert].t(), out=out[start:end])
        start = end
    return out


@torch.library.custom_op("coregpt::expert_outer", mutates_args=())
def expert_outer(left: Tensor, right: Tensor, ends: Tensor) -> Tensor:
    """Gradient of the weights: left[e]^T @ right[e] over each expert's rows, (E, b, a); zero where it has none."""
    if _has_kernel(left, right):
        return F.grouped_mm(left.t(), right, offs=ends)
    out, start = left.new_empty(len(ends), left.shape[1], right.shape[1]), 0
    for expert, end in enumerate(ends.tolist()):
        torch.mm(left[start:end].t(), right[start:end], out=out[expert])
        start = end
    return out


def _has_kernel(left: Tensor, right: Tensor) -> bool:
    """torch's grouped product: CUDA, bf16, sizes that are multiples of 16 bytes."""
    sizes = (*left.shape[1:], *right.shape[1:])
    return left.is_cuda and left.dtype == torch.bfloat16 and all(size % 8 == 0 for size in sizes)


@expert_matmul.register_fake
def _(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[1])


@expert_outer.register_fake
def _(left: Tensor, right: Tensor, ends: Tensor) -> Tensor:
    return left.new_empty(ends.shape[0], left.shape[1], right.shape[1])


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    rows, weight, ends = ctx.saved_tensors
    grad = grad.contiguous()
    return expert_matmul(grad, weight.mT, ends), expert_outer(grad, rows, ends), None


expert_matmul.register_autograd(_backward, setup_context=_save)
for _device in ("cpu", "cuda"):
    expert_matmul.register_autocast(_device, torch.bfloat16)


def _products(rows: list[int], other: list[int], *_: Any, **__: Any) -> int:
    """FLOPs of M rows (M, a) against b columns: both operators do M a b multiply-adds, whatever the routing."""
    return 2 * rows[0] * rows[1] * other[1]


for _operator in (torch.ops.coregpt.expert_matmul, torch.ops.coregpt.expert_outer):
    flop_registry.pop(_operator, None)
    register_flop_formula(_operator)(_products)
