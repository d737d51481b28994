"""What trains: planning a study, running it, measuring its noise, checking its report on fresh seeds."""

import contextlib
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from coregpt.cli.cluster import add_options, add_training, slurm_options
from coregpt.cli.options import Commands, add_jobs, add_reports, add_runs, add_study, amount, positive, span
from coregpt.cli.programs import add_exit_verdict, add_program

if TYPE_CHECKING:
    from coregpt.cli.studies.resources import Resources


def plan(commands: Commands) -> None:
    parser = commands.add_parser("plan", help="check a study and show what it will cost and can detect")
    add_study(parser)
    parser.add_argument("--price", type=amount, metavar="X", help="of one GPU or core for one hour")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--emit", choices=["sbatch"], help="declare the study and print a script of its missing runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the script here")
    parser.add_argument("--gpus", type=positive, metavar="N", help="only the memory of each GPU, as if there were N")
    parser.add_argument("--combinations", action=Combinations, help="print which designs go together, and end")
    add_options(parser)

    def execute(options: Namespace) -> int:
        glance(options.study)
        if slurm := slurm_options(options, options.emit == "sbatch", "--emit sbatch"):
            from coregpt.cli.studies.emit import emit

            return emit(options.study, options.scale, options.runs, options.out, slurm)
        if options.gpus:
            from coregpt.cli.studies.memory import show_memory

            return show_memory(options.study, options.scale, options.gpus, options.runs)
        from coregpt.cli.studies.costs import Asked
        from coregpt.cli.studies.plan import show_plan

        shown = Asked(options.runs, options.jobs, options.price)
        return show_plan(options.study, options.scale, shown, options.json)

    parser.set_defaults(execute=execute)


def ablate(commands: Commands) -> None:
    parser = commands.add_parser("ablate", help="run a study (or go on with it) and write its report")
    add_study(parser)
    add_reports(parser)
    add_training(parser)
    parser.add_argument("--no-mlflow", action="store_true", help="do not mirror the runs to MLflow")
    add_program(parser, judges=True)

    def execute(options: Namespace) -> int:
        with training(options, options.study, glance) as use:
            from coregpt.cli.studies.ablate import ablate

            return ablate(options.study, options.scale, use)

    parser.set_defaults(execute=execute)


def noise(commands: Commands) -> None:
    parser = commands.add_parser("noise", help="measure how much luck is in one run of the baseline, and from where")
    add_study(parser)
    add_reports(parser)
    parser.add_argument("--init", type=positive, default=3, metavar="N", help="seeds of the initial weights (3)")
    parser.add_argument("--data", type=positive, default=3, metavar="N", help="seeds of the data order (3)")
    parser.add_argument("--repeats", type=positive, default=2, metavar="R", help="executions of the first run (2)")
    add_training(parser)
    add_program(parser)

    def execute(options: Namespace) -> int:
        with training(options, options.study, glance) as use:
            from coregpt.cli.studies.noise import noise
            from coregpt.lab.designs.noise import Grid

            return noise(options.study, options.scale, use, Grid(options.init, options.data, options.repeats))

    parser.set_defaults(execute=execute)


def verify(commands: Commands) -> None:
    parser = commands.add_parser("verify", help="run fresh seeds of a published report: agrees or disagrees")
    parser.add_argument("json", type=Path, metavar="REPORT_JSON", help="a report.json")
    parser.add_argument("--seeds", type=positive, default=3, metavar="K", help="fresh seeds per arm (3, at least 2)")
    parser.add_argument("--study", type=Path, metavar="STUDY", help="its YAML file, if it needs plugin files")
    add_runs(parser)
    add_jobs(parser)
    add_training(parser)
    add_exit_verdict(parser)

    def execute(options: Namespace) -> int:
        with training(options, options.json) as use:
            from coregpt.cli.studies.verify import by_verdict, verify

            code = verify(options.json, options.seeds, options.study, use)
            return by_verdict(code, options.json) if options.exit_verdict else code

    parser.set_defaults(execute=execute)


def confirm(commands: Commands) -> None:
    parser = commands.add_parser("confirm", help="test a screen's candidate on fresh seeds, at its chain's level")
    parser.add_argument("json", type=Path, metavar="REPORT_JSON", help="the screen's report.json")
    parser.add_argument("--arm", required=True, metavar="NAME", help="the candidate")
    parser.add_argument("--seeds", type=positive, metavar="N", help="fresh seeds per arm (twice the screen's)")
    parser.add_argument("--alpha", type=amount, metavar="A", help="of a chain that has none yet (0.05)")
    parser.add_argument("--anytime", action="store_true", help="look after every seed; N is the most there will be")
    parser.add_argument("--name", metavar="NAME", help="of the confirmation, if the arm has one already")
    parser.add_argument("--study", type=Path, metavar="STUDY", help="the screen's YAML file, if it needs plugin files")
    add_runs(parser)
    add_jobs(parser)
    add_reports(parser)
    add_training(parser)
    parser.add_argument("--no-mlflow", action="store_true", help="do not mirror the runs to MLflow")
    add_program(parser, judges=True)

    def execute(options: Namespace) -> int:
        with training(options, options.json) as use:
            from coregpt.cli.studies.confirm import Asked, confirm

            how = (options.seeds, options.alpha, options.anytime, options.name, options.study)
            return confirm(options.json, Asked(options.arm, *how), use)

    parser.set_defaults(execute=execute)


def judge(commands: Commands) -> None:
    parser = commands.add_parser("judge", help="for loops: screen one candidate, and confirm what is found")
    parser.add_argument("--baseline", required=True, metavar="NAME", help="an arm, or with a command a commit")
    parser.add_argument("--candidate", required=True, metavar="NAME", help="the same of what is tried")
    parser.add_argument("--study", type=Path, required=True, metavar="STUDY", help="the YAML file of both")
    parser.add_argument("--scale", help="one of the study's scales")
    parser.add_argument("--budget", type=span, metavar="TIME", help="of this call, such as 30m; it ends by then")
    parser.add_argument("--confirm", action="store_true", help="test a candidate on fresh seeds at once")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the line for the loop's log here")
    add_runs(parser)
    add_jobs(parser)
    add_reports(parser)
    add_training(parser)
    parser.add_argument("--no-mlflow", action="store_true", help="do not mirror the runs to MLflow")
    add_program(parser)

    def execute(options: Namespace) -> int:
        with training(options, options.study) as use:
            from coregpt.cli.studies.judge import Asked, judge

            how = (options.scale, options.budget, options.confirm, options.log)
            return judge(Asked(options.baseline, options.candidate, options.study, *how), use)

    parser.set_defaults(execute=execute)


def placebo(commands: Commands) -> None:
    parser = commands.add_parser("placebo", help="the baseline against itself: how often is nothing called something?")
    add_study(parser)
    parser.add_argument("--baseline", metavar="NAME", help="another arm, or with a command a commit (test.baseline)")
    add_reports(parser)
    parser.add_argument("--draws", type=positive, default=1000, metavar="N", help="studies to draw (1000)")
    add_training(parser)
    add_program(parser)

    def execute(options: Namespace) -> int:
        with training(options, options.study) as use:
            from coregpt.cli.studies.placebo import placebo

            return placebo(options.study, options.scale, options.baseline, options.draws, use)

    parser.set_defaults(execute=execute)


def glance(study: Path) -> None:
    """Whatever the text of a file and its first keys have wrong is told before torch is imported."""
    from coregpt.lab.study.written import as_written

    as_written(study)


class Combinations(Action):
    """An option that needs no study, as `--version` needs no command."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        from coregpt.lab.designs.combinations import lines

        print("\n".join(lines()))  # noqa: T201
        parser.exit()


@contextlib.contextmanager
def training(options: Namespace, named: Path, first: Callable[[Path], object] | None = None) -> Iterator["Resources"]:
    """What a command that trains may use; workers get ready while torch is imported and the named file is read.

    `first` looks at the named file before torch is imported here.
    """
    from coregpt.lab.execute.pool import warming

    with warming(named.is_file() and options.on is None) as pool:
        if first is not None:
            first(named)
        from coregpt.cli.studies.resources import resources

        yield resources(options, pool)
