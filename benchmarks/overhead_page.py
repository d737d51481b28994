"""The page of training steps: one part for every kind of processor that was ever measured, each with its own date."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.overhead import SIDES
from benchmarks.pages import RESULTS, table

ABOUT = [
    "# Training steps on one CPU core",
    "",
    "CoreGPT's step (no plugin on, log included) and plain PyTorch loops of the same model on the same rows:",
    "a byte GPT of 4 layers, 128 wide, 4 heads. Every loop is a process of its own, set up as its users would set it",
    "up, and they take turns; processor time of one thread, median and range of 5 medians. README's study trains 4",
    "rows of 128. A ratio of one processor says nothing about another: `python -m benchmarks` measures the one that it",
    "runs on and leaves what is known of others as it is.",
    "",
]


def known(folder: Path = RESULTS) -> dict[str, Any]:
    """By kind of processor, what was measured on it before."""
    path = folder / "overhead.json"
    return json.loads(path.read_text(encoding="utf-8"))["kinds"] if path.is_file() else {}


def publish(kind: str, record: Mapping[str, Any], folder: Path = RESULTS) -> str:
    """The page with this record in the place of what was known of its kind; written, and returned."""
    kinds = dict(sorted({**known(folder), kind: dict(record)}.items()))
    text = "\n".join(page(kinds)) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overhead.md").write_text(text, encoding="utf-8")
    (folder / "overhead.json").write_text(json.dumps({"kinds": kinds}, indent=2) + "\n", encoding="utf-8")
    return text


def page(kinds: Mapping[str, Any]) -> Iterator[str]:
    yield from ABOUT
    for kind, record in kinds.items():
        facts = record["facts"]
        yield from (f"## {kind}", "")
        low = f"bf16 in hardware: {facts['bf16 in hardware']}, `auto` trains in {facts['precision']}"
        yield f"{record['date']}, {facts['processor']}, {low}, torch {facts['torch']}.{record.get('note', '')}"
        yield ""
        for shape, steps in record["step"].items():
            yield from (f"### {shape.replace('x', ' rows of ')} tokens", "", *steps_table(steps), "")
        if record.get("attention_bf16_cpu"):
            yield "bf16 attention, forward and backward, over PyTorch's fused kernel (the plain loop's):"
            yield from ("", *attention_table(record["attention_bf16_cpu"]), "")
        if record.get("help_seconds"):
            yield from (f"`coregpt --help`: {record['help_seconds']:.2f} s (median of 9)", "")


def steps_table(steps: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, each in steps.items():
        middle, low, high = each["times_faster"]
        rows.append([name, f"{middle:.2f}", f"{low:.2f} - {high:.2f}", f"{each['ms']:.1f}"])
    return table(f"loop|times faster than {SIDES[0]}|range|ms a step", rows)


def attention_table(found: list[dict[str, Any]]) -> list[str]:
    rows = []
    for each in found:
        ratio = [f"{each['median']:.2f}", f"{each['low']:.2f} - {each['high']:.2f}"]
        times = [f"{each['ours_ms']:.1f}", f"{each['theirs_ms']:.1f}"]
        rows.append([", ".join(map(str, each["shape"])), str(each["window"] or "-"), *ratio, *times])
    return table("batch, heads, tokens, width|window|ratio|range|ms|fused ms", rows)
