"""Options that several commands share, and the numbers that options accept. Imports nothing heavy: help shows them."""

import argparse
import re
from pathlib import Path
from typing import Protocol


class Commands(Protocol):
    """What add_subparsers returns; argparse does not name it publicly."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


def add_study(parser: argparse.ArgumentParser) -> None:
    """A study's file, what to make of it and where."""
    parser.add_argument("study", type=Path, metavar="STUDY", help="the study's YAML file")
    parser.add_argument("--scale", help="one of the study's scales")
    add_runs(parser)
    add_jobs(parser)


def add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=folder, default="runs", metavar="DIR", help="where runs live (runs)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=positive, metavar="N", help="runs at a time (one per core or GPU)")


def add_reports(parser: argparse.ArgumentParser) -> None:
    """Where a report is written."""
    text = "where the report goes (RUNS/reports; 'reports' publishes it)"
    parser.add_argument("--reports", type=folder, metavar="DIR", help=text)


def add_run(parser: argparse.ArgumentParser) -> None:
    """One run of a study."""
    parser.add_argument("run", metavar="RUN", help="its id, the beginning of it, or ARM/SEED")
    add_of_study(parser)


def add_of_study(parser: argparse.ArgumentParser) -> None:
    """Only runs of one study."""
    parser.add_argument("--study", metavar="STUDY", help="the study's YAML file or name")


def folder(text: str) -> Path:
    """One that is there, or may still be made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, got the file {path}")
    return path


def positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return number


def span(text: str) -> float:
    """Seconds of `90`, `90s`, `30m`, `1.5h`, `1h30m`."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    parts = [float(part or 0) for part in found.groups()] if found else [0.0]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("expected a time such as 90s, 30m or 1h30m")
    return seconds


def amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("expected a number above 0")
    return number
