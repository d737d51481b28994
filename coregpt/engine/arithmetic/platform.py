"""What this machine is good at. Asked once, before runs start; the answers become part of their configs."""

import ctypes
import os
import platform
import shutil
from functools import cache
from pathlib import Path

import torch

from coregpt.contract.config import Precision, RunConfig


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_precision(device: str) -> Precision:
    """What the training pass should compute in: bf16 where the hardware multiplies it faster than fp32, fp16 on GPUs
    that multiply only that faster (Volta and Turing), else fp32.

    On a CPU that takes AMX, or AMD's AVX-512: Intel's has the bf16 instructions too, at half the rate of its fp32
    (`docs/decisions/029-fp32-on-cpu.md`).
    Read off the machine's features, not measured: the answer becomes part of a run's identity, and a
    busy moment must not change it.
    """
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability() >= FIRST_FAST_FP16 else "fp32"
    fast = torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and is_amd())
    return "bf16" if fast else "fp32"


def is_amd(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether AMD made the processor: Linux says it in a file, Windows in the processor's name."""
    try:
        told = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = platform.processor()
    return "AuthenticAMD" in told


FIRST_FAST_FP16 = (7, 0)
"""Compute capability; GPUs before it gain nothing from fp16, or multiply it at a 64th of the rate."""


def worth_compiling(config: RunConfig, device: str) -> bool:
    """Whether compiling pays back within one run.

    On CUDA always. A CPU graph of this kind of model takes some 20 s to compile and saves a twentieth to a quarter
    of every step, so only runs with minutes of training gain, and only where a C++ compiler exists.
    """
    if device == "cuda":
        return True
    if not _has_compiler():
        return False
    weights = 12 * config.model.depth * config.model.dim**2 + config.model.vocab * config.model.dim
    return 6.0 * weights * config.tokens > CPU_FLOPS_WORTH_A_COMPILE


@cache
def _has_compiler() -> bool:
    """Looked for once: a study of 10,000 runs would search the path 10,000 times."""
    return bool(os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++"))


CPU_FLOPS_WORTH_A_COMPILE = 3e13
"""About three minutes of one core at 160 GFLOP/s, what training reaches in bf16."""


def set_up_cpu() -> None:
    """What every process that trains on a CPU does first: one thread, no denormals, freed memory kept.

    Numbers below 1e-38 become 0: arithmetic with them takes ten times as long, and a confident model's probabilities
    are full of them.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _keep_heap()


def _keep_heap() -> None:
    """Tells the C library to keep freed memory for the next step instead of giving it back to the system.

    A training step frees and takes the same tens of megabytes again and again; every page that went back must be
    cleared and mapped anew, which costs a tenth to a third of a step. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 2**26)


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # names and values of malloc.h


def peak_memory(device: torch.device) -> int:
    """Largest memory of this process so far, in bytes: allocator's on CUDA, resident on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the process that started this one once held
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(peak.split()[1])
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024)
