"""Where measurements are written: `benchmarks/results/NAME.{md,json}`, and the screen."""

import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from coregpt.engine.arithmetic.platform import fast_precision, is_amd
from coregpt.lab.execute.worker import processor

RESULTS = Path(__file__).parent / "results"


def facts() -> dict[str, str]:
    """What the numbers were measured with: a ratio of one processor says nothing about another."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    found |= {"processor": processor(), "bf16 in hardware": bf16_by(), "precision": fast_precision("cpu")}
    if torch.cuda.is_available():
        found |= {"GPU": torch.cuda.get_device_name(), "driver": driver(), "CUDA": str(torch.version.cuda)}
    return found


def bf16_by() -> str:
    """The instructions that multiply bf16 on this CPU: `AMX`, `AVX-512` or `no`."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX-512" if torch.cpu._is_avx512_bf16_supported() else "no"


def cpu_kind() -> str:
    """What decides which arithmetic is fast: `AMD, AVX2`, `Intel, AVX512 with bf16`, `Intel, AVX512 with AMX`."""
    name = processor().rpartition(", ")[0].lower()
    maker = next((word for word in ("AMD", "Intel", "Apple") if word.lower() in name), "AMD" if is_amd() else "other")
    low = {"AMX": " with AMX", "AVX-512": " with bf16", "no": ""}[bf16_by()]
    return f"{maker}, {torch.backends.cpu.get_cpu_capability()}{low}"


def driver() -> str:
    """The version of NVIDIA's driver, as `nvidia-smi` says."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        said = []
    return said[0] if said else "unknown"


def measured_with() -> str:
    """A line for the top of a page."""
    found = facts()
    where = f"{found['GPU']}, driver {found['driver']}, " if "GPU" in found else ""
    low = f"bf16 in hardware: {found['bf16 in hardware']}, `auto` trains in {found['precision']}"
    return f"Measured on {where}{found['processor']}, {low}, torch {found['torch']}."


def table(header: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; `header` separates columns by bars."""
    cells = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {header.replace('|', ' | ')} |", "|" + "---|" * (header.count("|") + 1), *cells]


def write(name: str, lines: Sequence[str], record: dict[str, Any], folder: Path = RESULTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join([*lines, ""]))
    (folder / f"{name}.json").write_text(json.dumps({"facts": facts(), **record}, indent=2) + "\n")


def publish(name: str, lines: Sequence[str], record: dict[str, Any], folder: Path = RESULTS) -> None:
    write(name, lines, record, folder)
    print("\n".join(lines))
