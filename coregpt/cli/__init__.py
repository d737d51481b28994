"""The command line. Nothing heavy is imported before a command needs it: help and mistakes answer at once."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from coregpt import __version__
from coregpt.contract.errors import CoreGPTError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 runs failed, 2 wrong input, 130 interrupted."""
    options = parser().parse_args(argv)
    try:
        code = _run(options)
        sys.stdout.flush()
    except CoreGPTError as error:
        print(f"coregpt: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except BrokenPipeError:  # `coregpt plan ... | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a vanished folder
        print(f"coregpt: error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("coregpt: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="coregpt",
        description="Does this pre-training technique help, by how much, and how sure are we?",
        epilog="Start with: coregpt plan ablations/ngpt_vs_gpt.yaml",
    )
    top.add_argument("--version", action="version", version=f"coregpt {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _ablate(commands)
    _report(commands)
    _plugins(commands)
    _data(commands)
    return top


class _Commands(Protocol):
    """What add_subparsers returns; argparse does not name it publicly."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


def _ablate(commands: _Commands) -> None:
    plan = commands.add_parser("plan", help="check a study and show what it will cost and can detect")
    ablate = commands.add_parser("ablate", help="run a study (or go on with it) and write its report")
    for each in (plan, ablate):
        each.add_argument("study", type=Path, metavar="STUDY", help="the study's YAML file")
        each.add_argument("--scale", help="one of the study's scales")
        each.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (runs)")
        each.add_argument("--jobs", type=_positive, metavar="N", help="runs at a time (one per core or GPU)")
    ablate.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports")
    ablate.add_argument("--no-mlflow", action="store_true", help="do not mirror the runs to MLflow")


def _report(commands: _Commands) -> None:
    report = commands.add_parser("report", help="write the report's pages again from its JSON")
    report.add_argument("json", type=Path, metavar="REPORT_JSON", help="a report.json")
    report.add_argument("--out", type=Path, metavar="DIR", help="default: the folder of the JSON")


def _plugins(commands: _Commands) -> None:
    plugins = commands.add_parser("plugins", help="list, describe or check techniques")
    actions = plugins.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every technique in one line each")
    for action, text in (
        ("show", "what a technique does, its options and hooks"),
        ("check", "test a technique's laws"),
    ):
        actions.add_parser(action, help=text).add_argument("name", metavar="NAME")


def _data(commands: _Commands) -> None:
    data = commands.add_parser("data", help="get training data")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download pre-tokenised shards")
    fetch.add_argument("name", choices=["fineweb10B"])
    fetch.add_argument("--shards", type=_positive, default=1, metavar="N", help="training shards of 100M tokens (1)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return number


def _run(options: argparse.Namespace) -> int:
    if options.command == "ablate":
        from coregpt.cli.ablate import ablate

        return ablate(options.study, options.scale, options.runs, options.reports, options.jobs, not options.no_mlflow)
    if options.command == "plan":
        from coregpt.cli.plan import show_plan

        return show_plan(options.study, options.scale, options.runs, options.jobs)
    if options.command == "report":
        from coregpt.cli.report import rewrite

        return rewrite(options.json, options.out)
    if options.command == "data":
        from coregpt.cli.data import fetch

        return fetch(options.shards)
    from coregpt.cli import plugins

    if options.action == "list":
        return plugins.list_all()
    return plugins.show(options.name) if options.action == "show" else plugins.check(options.name)
