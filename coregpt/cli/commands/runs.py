"""What looks after runs: how they are, what they printed, one of them again, what can go, the ledger."""

from argparse import Namespace

from coregpt.cli.cluster import add_place, slurm_options
from coregpt.cli.options import Commands, add_of_study, add_run, add_runs
from coregpt.cli.programs import add_program


def status(commands: Commands) -> None:
    parser = commands.add_parser("status", help="what a study's runs are doing, or all studies in one line each")
    parser.add_argument("study", nargs="?", metavar="STUDY", help="the study's YAML file or name (all studies)")
    parser.add_argument("--scale", help="one of the study's scales, if it is not the default one")
    add_runs(parser)
    add_program(parser, trains=False)

    def execute(options: Namespace) -> int:
        from coregpt.cli.runs import status

        return status(options.study, options.scale, options.runs)

    parser.set_defaults(execute=execute)


def ls(commands: Commands) -> None:
    parser = commands.add_parser("ls", help="list runs")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_of_study(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.runs import list_runs

        return list_runs(options.study, options.runs, options.json)

    parser.set_defaults(execute=execute)


def logs(commands: Commands) -> None:
    parser = commands.add_parser("logs", help="print what a run printed")
    parser.add_argument("--follow", action="store_true", help="go on until the run is complete or failed")
    add_run(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.runs import logs

        return logs(options.run, options.study, options.runs, options.follow)

    parser.set_defaults(execute=execute)


def rerun(commands: Commands) -> None:
    parser = commands.add_parser("rerun", help="execute a run again: it must come to the result it had")
    parser.add_argument("--reason", default="", metavar="TEXT", help="for the ledger")
    add_place(parser)
    add_run(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.housekeeping import rerun

        slurm = slurm_options(options, options.on == "slurm", "--on slurm")
        return rerun(options.run, options.study, options.runs, options.reason, slurm)

    parser.set_defaults(execute=execute)


def gc(commands: Commands) -> None:
    parser = commands.add_parser("gc", help="list what nothing needs any more: checkpoints, parts, runs of no study")
    parser.add_argument("--yes", action="store_true", help="delete it")
    parser.add_argument("--weights", action="store_true", help="also final weights that no run is given as an input")
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.housekeeping import collect_garbage

        return collect_garbage(options.runs, options.yes, options.weights)

    parser.set_defaults(execute=execute)


def ledger(commands: Commands) -> None:
    parser = commands.add_parser("ledger", help="check the record of declarations and runs")
    action = parser.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "verify", help="is the chain whole, and do the results agree with it?"
    )
    add_runs(action)

    def execute(options: Namespace) -> int:
        from coregpt.cli.ledger import verify_ledger

        return verify_ledger(options.runs)

    action.set_defaults(execute=execute)
