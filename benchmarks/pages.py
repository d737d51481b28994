"""Where measurements are written: `benchmarks/results/NAME.{md,json}`, and the screen."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def facts() -> dict[str, str]:
    """What the numbers were measured with."""
    return {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}


def table(header: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; `header` separates columns by bars."""
    cells = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {header.replace('|', ' | ')} |", "|" + "---|" * (header.count("|") + 1), *cells]


def publish(name: str, lines: Sequence[str], record: dict[str, Any], folder: Path = RESULTS) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join([*lines, ""]))
    (folder / f"{name}.json").write_text(json.dumps({"facts": facts(), **record}, indent=2) + "\n")
    print("\n".join(lines))
