"""The switches of arithmetic: everything outside of a run's settings by which torch computes otherwise."""

import hashlib
import os
from functools import partial
from typing import Any

import torch

SWITCHES = (
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
    *("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)
"""Variables by which libraries choose other instructions, and with them how sums are rounded."""
KERNELS = (
    *("mm", "addmm", "bmm", "baddbmm", "_log_softmax", "nll_loss_forward", "logsumexp", "embedding", "index", "copy_"),
    *("add.Tensor", "mul.Tensor", "sub_.Tensor", "native_layer_norm", "rms_norm"),
)
"""Operators whose kernels nobody may replace: products, losses, and what moves weights."""
TINY = 1e-39
"""A number that is zero where denormals are flushed."""


def of_products() -> dict[str, str]:
    """The switches of products alone, which are quick to ask."""
    asked = {
        "the precision of fp32 products": torch.get_float32_matmul_precision,
        "the number of threads": torch.get_num_threads,
        "oneDNN being enabled": lambda: torch._C._get_mkldnn_enabled(),
    }
    return {name: _told(ask) for name, ask in asked.items()}


def switches() -> dict[str, str]:
    """Everything outside of a run's settings by which torch rounds otherwise, draws otherwise, or takes other time."""
    read = {
        "the precision of fp32 products": torch.get_float32_matmul_precision,
        "the default type of tensors": torch.get_default_dtype,
        "the number of threads": torch.get_num_threads,
        "flushing of denormals": lambda: bool(torch.tensor(TINY) * 1 == 0),
        "gradients being on": torch.is_grad_enabled,
        "autocast on the CPU": lambda: torch.is_autocast_enabled("cpu"),
        "autocast on CUDA": lambda: torch.is_autocast_enabled("cuda"),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
        "oneDNN": torch.backends.mkldnn.is_available,
        "oneDNN being enabled": lambda: torch._C._get_mkldnn_enabled(),
        "TF32 in products": lambda: torch.backends.cuda.matmul.allow_tf32,
        "TF32 in convolutions": lambda: torch.backends.cudnn.allow_tf32,
        "sums in bf16": lambda: torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        "sums in fp16": lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "the fp32 precision of oneDNN": lambda: _setting("mkldnn", "fp32_precision"),
        "the fp32 precision of backends": lambda: getattr(torch.backends, "fp32_precision", None),
        **{f"the fp32 precision of {name}": partial(_setting, name, "fp32_precision") for name in PARTS},
        "hooks on all modules": _global_hooks,
        "kernels of products and losses": _kernels,
        "functions in between": lambda: len(torch.overrides._get_current_function_mode_stack()),
        "operators in between": lambda: len(torch.utils._python_dispatch._get_current_dispatch_mode_stack()),
    }
    variables = {f"the variable {name}": str(os.environ.get(name)) for name in SWITCHES}
    return {name: _told(ask) for name, ask in read.items()} | variables


PARTS = ("mkldnn.matmul", "mkldnn.conv", "cuda.matmul", "cudnn.conv", "cudnn.rnn")
"""Of backends, with a precision of their own."""


def _setting(backend: str, name: str) -> object:
    found: object = torch.backends
    for part in (*backend.split("."), name):
        found = getattr(found, part, None)
    return found


def _global_hooks() -> int:
    module = torch.nn.modules.module
    return sum(len(value) for name, value in vars(module).items() if name.startswith("_global_") and "hooks" in name)


def _kernels() -> str:
    """A digest of who computes these operators. torch itself adds kernels without memory when they are first wanted."""
    said = "".join(
        line
        for name in KERNELS
        for line in torch._C._dispatch_dump(f"aten::{name}").splitlines()
        if not line.startswith(("Meta", "Python", "Fake", "Functionalize"))
    )
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _told(ask: Any) -> str:
    try:
        return str(ask())
    except RuntimeError:  # where old and new names of one switch were both set
        return "set in two ways"
