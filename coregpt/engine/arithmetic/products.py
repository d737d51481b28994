"""fp32 matrix products at the rate of the processor, for passes without gradients.

PyTorch leaves fp32 products on CPU to MKL, which keeps to 256-bit vectors on processors of other makers than its own.
oneDNN, which PyTorch brings along for bf16, uses all 512 bits of any: `benchmarks/results/eval_cost.md` says what that
is worth. Its sums are fp32 too, in another order.
On Intel's processors MKL uses them too and is the faster of both, by a twentieth.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from coregpt.engine.arithmetic import platform


def fast_products(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """While it lasts, `F.linear` in fp32 is oneDNN's where that can be faster. Not for compiled code or gradients."""
    wide = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512" and platform.is_amd()
    return OneDNN() if wide and torch.backends.mkldnn.is_available() else contextlib.nullcontext()


class OneDNN(TorchFunctionMode):
    """While it lasts, `F.linear` in fp32 is oneDNN's."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and all(map(_plain, args)):
            x, weight, *bias = args
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias[0] if bias else None, "none", [], "")
        return func(*args, **(kwargs or {}))


def _plain(x: Tensor | None) -> bool:
    """Whether oneDNN takes it."""
    return x is None or (x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0)
