"""The command line. Nothing heavy is imported before a command needs it: help and mistakes answer at once."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from coregpt import __version__
from coregpt.cli.cluster import add_options, add_place, add_training, slurm_options
from coregpt.contract.errors import CoreGPTError

INTERRUPTED = 130
READER_GONE = 141
"""What a shell reports of a process ended by SIGPIPE; 0 would say that the work is done."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 runs failed, 2 wrong input, 130 interrupted."""
    options = parser().parse_args(argv)
    if sys.stdout is None:  # started with standard output closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    try:
        code = _run(options)
        sys.stdout.flush()
    except CoreGPTError as error:
        print(f"coregpt: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except BrokenPipeError:  # `coregpt plan ... | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except OSError as error:  # a full disk, a vanished folder
        print(f"coregpt: error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("coregpt: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    return code


class Parser(argparse.ArgumentParser):
    """Mistakes are told in one line, as all others are, instead of after half a page of usage."""

    def error(self, message: str) -> NoReturn:
        given, *names = re.findall(r"'([^']*)'", message) or [""]
        near = difflib.get_close_matches(given, names, n=1)
        if near:
            message = f"{message.partition(' (choose from')[0]}; did you mean '{near[0]}'?"
        self.exit(2, f"coregpt: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="coregpt",
        description="Does this pre-training technique help, by how much, and how sure are we?",
        epilog="Start with: coregpt plan ablations/ngpt_vs_gpt.yaml",
    )
    top.add_argument("--version", action="version", version=f"coregpt {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _ablate(commands)
    _runs(commands)
    _report(commands)
    _verify(commands)
    _import(commands)
    _plugins(commands)
    _data(commands)
    _calibrate(commands)
    return top


class _Commands(Protocol):
    """What add_subparsers returns; argparse does not name it publicly."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


def _ablate(commands: _Commands) -> None:
    plan = commands.add_parser("plan", help="check a study and show what it will cost and can detect")
    ablate = commands.add_parser("ablate", help="run a study (or go on with it) and write its report")
    noise = commands.add_parser("noise", help="measure how much luck is in one run of the baseline, and from where")
    for each in (plan, ablate, noise):
        each.add_argument("study", type=Path, metavar="STUDY", help="the study's YAML file")
        each.add_argument("--scale", help="one of the study's scales")
        each.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (runs)")
        each.add_argument("--jobs", type=_positive, metavar="N", help="runs at a time (one per core or GPU)")
    for each in (ablate, noise):
        each.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports")
    noise.add_argument("--init", type=_positive, default=3, metavar="N", help="seeds of the initial weights (3)")
    noise.add_argument("--data", type=_positive, default=3, metavar="N", help="seeds of the data order (3)")
    noise.add_argument("--repeats", type=_positive, default=2, metavar="R", help="executions of the first run (2)")
    for each in (ablate, noise):
        add_training(each)
    ablate.add_argument("--no-mlflow", action="store_true", help="do not mirror the runs to MLflow")
    plan.add_argument("--price", type=_amount, metavar="X", help="of one GPU or core for one hour")
    plan.add_argument("--json", action="store_true", help="for programs")
    plan.add_argument("--emit", choices=["sbatch"], help="declare the study and print a script of its missing runs")
    plan.add_argument("--out", type=Path, metavar="FILE", help="write the script here")
    add_options(plan)


def _runs(commands: _Commands) -> None:
    status = commands.add_parser("status", help="what a study's runs are doing, or all studies in one line each")
    status.add_argument("study", nargs="?", metavar="STUDY", help="the study's YAML file or name (all studies)")
    status.add_argument("--scale", help="one of the study's scales, if it is not the default one")
    ls = commands.add_parser("ls", help="list runs")
    ls.add_argument("--json", action="store_true", help="for programs")
    logs = commands.add_parser("logs", help="print what a run printed")
    logs.add_argument("--follow", action="store_true", help="go on until the run is complete or failed")
    rerun = commands.add_parser("rerun", help="execute a run again: it must come to the result it had")
    rerun.add_argument("--reason", default="", metavar="TEXT", help="for the ledger")
    add_place(rerun)
    gc = commands.add_parser("gc", help="list what nothing needs any more: checkpoints, parts, runs of no study")
    gc.add_argument("--yes", action="store_true", help="delete it")
    for each in (logs, rerun):
        each.add_argument("run", metavar="RUN", help="its id, the beginning of it, or ARM/SEED")
    for each in (ls, logs, rerun):
        each.add_argument("--study", metavar="STUDY", help="the study's YAML file or name")
    for each in (status, ls, logs, rerun, gc):
        each.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (runs)")


def _report(commands: _Commands) -> None:
    report = commands.add_parser("report", help="write the report's pages again from its JSON")
    report.add_argument("json", type=Path, nargs="?", metavar="REPORT_JSON", help="a report.json")
    report.add_argument("--out", type=Path, metavar="DIR", help="default: the folder of the JSON")
    report.add_argument("--schema", action="store_true", help="print the JSON schema of report.json instead")


def _verify(commands: _Commands) -> None:
    verify = commands.add_parser("verify", help="run fresh seeds of a published report: agrees or disagrees")
    verify.add_argument("json", type=Path, metavar="REPORT_JSON", help="a report.json")
    verify.add_argument("--seeds", type=_positive, default=3, metavar="K", help="fresh seeds per arm (3, at least 2)")
    verify.add_argument("--study", type=Path, metavar="STUDY", help="its YAML file, if it needs plugin files")
    verify.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (runs)")
    verify.add_argument("--jobs", type=_positive, metavar="N", help="runs at a time (one per core or GPU)")
    add_training(verify)
    ledger = commands.add_parser("ledger", help="check the record of declarations and runs")
    action = ledger.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "verify", help="is the chain whole, and do the results agree with it?"
    )
    action.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (runs)")


def _import(commands: _Commands) -> None:
    logs = commands.add_parser("import", help="report on training logs of runs made elsewhere")
    logs.add_argument("folder", type=Path, metavar="DIR", help="one folder per arm with its logs")
    logs.add_argument("--arm", action="append", default=[], metavar="NAME=GLOB", help="the files of one arm; repeat")
    logs.add_argument("--baseline", metavar="NAME", help="the arm to compare with (the first)")
    logs.add_argument("--metric", default="val_loss", help="default: val_loss")
    logs.add_argument("--step", type=_positive, metavar="N", help="judge here (the last step all full runs share)")
    logs.add_argument("--target", type=float, metavar="X", help="compare how soon each arm reaches this value")
    logs.add_argument("--name", help="default: the folder's name")
    logs.add_argument("--out", type=Path, metavar="DIR", help="default: reports/NAME")
    logs.add_argument("--alpha", type=float, default=0.05, help="default: 0.05")
    logs.add_argument("--margin", type=float, default=0.01, help="smallest difference that matters (0.01)")


def _plugins(commands: _Commands) -> None:
    plugins = commands.add_parser("plugins", help="list, describe or check techniques")
    actions = plugins.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every technique in one line each")
    for action, text in (
        ("show", "what a technique does, its options and hooks"),
        ("check", "test a technique's laws"),
    ):
        actions.add_parser(action, help=text).add_argument("name", metavar="NAME", help="a technique or a .py file")


def _data(commands: _Commands) -> None:
    data = commands.add_parser("data", help="get training data")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download pre-tokenised shards")
    fetch.add_argument("name", choices=["fineweb10B"])
    fetch.add_argument("--shards", type=_positive, default=1, metavar="N", help="training shards of 100M tokens (1)")


def _calibrate(commands: _Commands) -> None:
    calibrate = commands.add_parser("calibrate", help="simulate whether the statistics keep their promises")
    calibrate.add_argument("--quick", action="store_true", help="a tenth of the studies")
    calibrate.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the simulation (0)")


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return number


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("expected a number above 0")
    return number


def _look(options: argparse.Namespace) -> int:
    from coregpt.cli import runs

    if options.command == "status":
        return runs.status(options.study, options.scale, options.runs)
    if options.command == "ls":
        return runs.list_runs(options.study, options.runs, options.json)
    return runs.logs(options.run, options.study, options.runs, options.follow)


def _keep_house(options: argparse.Namespace) -> int:
    from coregpt.cli import housekeeping

    if options.command == "rerun":
        slurm = slurm_options(options, options.on == "slurm", "--on slurm")
        return housekeeping.rerun(options.run, options.study, options.runs, options.reason, slurm)
    return housekeeping.collect_garbage(options.runs, options.yes)


def _train(options: argparse.Namespace) -> int:
    from coregpt.lab.execute.pool import warming

    named = options.json if options.command == "verify" else options.study
    with warming(named.is_file() and options.on is None) as pool:
        from coregpt.cli.resources import resources

        use = resources(options, pool)
        if options.command == "ablate":
            from coregpt.cli.ablate import ablate

            return ablate(options.study, options.scale, use)
        if options.command == "noise":
            from coregpt.cli.noise import noise
            from coregpt.lab.designs.noise import Grid

            return noise(options.study, options.scale, use, Grid(options.init, options.data, options.repeats))
        from coregpt.cli.verify import verify

        return verify(options.json, options.seeds, options.study, use)


def _run(options: argparse.Namespace) -> int:
    if options.command in ("ablate", "noise", "verify"):
        return _train(options)
    if options.command in ("status", "ls", "logs"):
        return _look(options)
    if options.command in ("rerun", "gc"):
        return _keep_house(options)
    if options.command == "plan":
        if slurm := slurm_options(options, options.emit == "sbatch", "--emit sbatch"):
            from coregpt.cli.emit import emit

            return emit(options.study, options.scale, options.runs, options.out, slurm)
        from coregpt.cli.plan import Asked, show_plan

        shown = Asked(options.runs, options.jobs, options.price)
        return show_plan(options.study, options.scale, shown, options.json)
    if options.command == "report":
        from coregpt.cli.report import print_schema, rewrite

        return print_schema() if options.schema else rewrite(options.json, options.out)
    if options.command == "ledger":
        from coregpt.cli.ledger import verify_ledger

        return verify_ledger(options.runs)
    if options.command == "import":
        from coregpt.cli.importing import ImportOptions, import_logs

        asked = {key: value for key, value in vars(options).items() if key not in ("command", "arm")}
        return import_logs(ImportOptions(arms=tuple(options.arm), **asked))
    if options.command == "calibrate":
        from coregpt.cli.calibrate import show_calibration

        return show_calibration(options.seed, options.quick)
    if options.command == "data":
        from coregpt.cli.data import fetch

        return fetch(options.shards)
    from coregpt.cli import plugins

    if options.action == "list":
        return plugins.list_all()
    return plugins.show(options.name) if options.action == "show" else plugins.check(options.name)
