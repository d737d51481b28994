"""What runs will take, in words: time, memory and price."""

import math
from dataclasses import dataclass
from pathlib import Path

from coregpt.cli.screen import table
from coregpt.lab.designs import DESIGNS
from coregpt.lab.planning.forecast import Forecast
from coregpt.lab.planning.kept import kept
from coregpt.lab.progress import duration
from coregpt.lab.study.outline import Plan


@dataclass(frozen=True)
class Asked:
    """How a plan is to be shown."""

    store: Path
    jobs: int | None = None
    price: float | None = None
    """Of one GPU or core for one hour."""


def time_lines(made: Plan, found: Forecast | None, price: float | None) -> list[str]:
    """Wall time, memory and price of the missing runs on this machine."""
    if found is None:
        return [f"All {len(made.runs)} runs are complete."]
    if not found.speed:
        return _program_lines(found, price)
    if math.isnan(found.speed):
        return [*table(_memory_rows(found)), "", f"Time: {found.origin}.", *memory_lines(found)]
    rows = [["arm", "missing runs", "time per run", "memory (estimate)"] + (["price"] if price else [])]
    for name, share in found.arms.items():
        each = [name, str(share.runs), duration(share.seconds / share.runs), size(share.memory.peak)]
        rows.append(each + ([f"{found.cost(name, price):.2f}"] if price else []))
    lines = [
        *table(rows),
        "",
        f"Time: about {duration(found.seconds)} for {found.runs} runs, {found.at_once} at a time "
        f"({found.speed:,.0f} tokens/s per run, {found.origin}).",
    ]
    if price:
        what = "GPU" if found.device == "cuda" else "core"
        lines.append(f"Price: about {found.total(price):.2f} at {price:g} per {what} and hour, only while runs train.")
    return [*lines, *memory_lines(found)]


def _memory_rows(found: Forecast) -> list[list[str]]:
    rows = [[name, str(share.runs), size(share.memory.peak)] for name, share in found.arms.items()]
    return [["arm", "missing runs", "memory (estimate)"], *rows]


def _program_lines(found: Forecast, price: float | None) -> list[str]:
    """Of programs, whose speed and memory nobody can estimate."""
    runs = f"{found.runs} runs, {found.at_once} at a time"
    if math.isnan(found.seconds):
        return [f"Time: not known before the first run ({runs})."]
    each = ", ".join(f"{duration(share.seconds / share.runs)} a run of {arm}" for arm, share in found.arms.items())
    lines = [f"Time: about {duration(found.seconds)} for {runs} ({each}; {found.origin})."]
    if price:
        what = "GPU" if found.device == "cuda" else "core"
        lines.append(f"Price: about {found.total(price):.2f} at {price:g} per {what} and hour, only while runs train.")
    return lines


def on_average(trials: Plan, expected: Forecast | None) -> list[str]:
    """What all trials will take where their results decide how many there are."""
    runs = next((number for design in DESIGNS if (number := design.expected(trials)) is not None), None)
    if runs is None or expected is None or math.isnan(expected.seconds):
        return []
    seconds = expected.seconds / expected.runs * runs
    return [f"That is what is needed first; {runs} runs, which is the average, take about {duration(seconds)}."]


def kept_lines(made: Plan, store: Path) -> list[str]:
    """What stays on disk after the missing runs, and a warning where the disk is too small for it."""
    found = kept(made, store)
    if found is None:
        return []
    each = "each" if found.each * found.runs == found.bytes else "at most"
    text = f"Disk: final weights of {found.runs} runs, {size(found.each)} {each}, {size(found.bytes)} in all"
    if found.fits:
        return [f"{text}, are kept until coregpt gc; `keep: nothing` leaves them out."]
    return [f"{text}, but only {size(found.free)} are free; write `keep: nothing` in the study, or make room."]


def memory_lines(found: Forecast) -> list[str]:
    """A warning, with what to do, where the runs may not fit; nothing where they do."""
    if not found.room or found.needed <= found.room:
        return []
    where = "the GPU" if found.device == "cuda" else f"the machine, for {found.at_once} runs at a time"
    rows = found.fitting_rows
    advice = f"set micro_rows: {rows}" if rows else "one row is too much: use a smaller model or a shorter context"
    return [f"Memory: about {size(found.needed)} of the {size(found.room)} of {where}; {advice}."]


def size(bytes_: int) -> str:
    """`24 kB`, `310 MB`, `12.3 GB`."""
    if bytes_ < 1e6:
        return f"{bytes_ / 1e3:.0f} kB"
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.0f} MB"
