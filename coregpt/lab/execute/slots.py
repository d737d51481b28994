"""Places where a run can execute: a CPU core, or one or more GPUs."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.launched import of_a_launcher

TUNABLES = "GLIBC_TUNABLES"


@dataclass(frozen=True)
class Slot:
    """One run at a time, in its own process with its own share of the machine."""

    environment: tuple[tuple[str, str], ...]
    ranks: int = 1

    def command(self, run_dir: Path, until: int | None = None) -> list[str]:
        worker = ["-m", "coregpt.lab.execute.worker", str(run_dir), "--launched"]
        if until is not None:
            worker += ["--until", str(until)]
        if self.ranks == 1:
            return [sys.executable, *worker]
        # --standalone picks a free rendezvous port, so that runs beside each other do not meet.
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.ranks}"]
        return [sys.executable, *torchrun, *worker]

    def variables(self) -> dict[str, str]:
        """The child's environment. The working directory never shadows a module (PYTHONSAFEPATH).

        What a launcher of several processes left here is cleared: a run has the ranks of its slot.
        """
        fixed = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
        own = {name: value for name, value in os.environ.items() if not of_a_launcher(name)}
        return {**own, **fixed, TUNABLES: _large_pages(own.get(TUNABLES, "")), **dict(self.environment)}


def find_slots(device: str, gpus_per_run: int, jobs: int | None) -> list[Slot]:
    """One slot per core or per group of GPUs, at most `jobs`. Raises ConfigError if there is none."""
    slots = _gpu_slots(gpus_per_run) if device == "cuda" else [Slot(()) for _ in range(cores())]
    return slots if jobs is None else slots[:jobs] if device == "cuda" else [Slot(()) for _ in range(jobs)]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _large_pages(tunables: str) -> str:
    """Asks glibc for pages of 2 MiB, which systems give to those who ask: a step on a CPU takes a twentieth less.

    It is read when a process starts, so no process can ask for itself. Other C libraries do not read it, and no number
    hangs on it. Whoever has chosen already is not overruled.
    """
    if "glibc.malloc.hugetlb" in tunables:
        return tunables
    return ":".join(filter(None, (tunables, "glibc.malloc.hugetlb=1")))


def _gpu_slots(each: int) -> list[Slot]:
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(torch.cuda.device_count())]
    if listed:
        names = [name.strip() for name in listed.split(",")][: len(names)]
    groups = [names[i : i + each] for i in range(0, len(names) - each + 1, each)]
    if not groups:
        raise ConfigError(f"gpus_per_run is {each}, but {len(names)} GPUs are visible")
    return [Slot((("CUDA_VISIBLE_DEVICES", ",".join(group)),), each) for group in groups]
