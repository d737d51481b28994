"""What looks after runs: how they are, what they printed, one of them again, what can go, the ledger."""

from argparse import Namespace
from pathlib import Path

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
        from coregpt.cli.records.listing import status

        return status(options.study, options.scale, options.runs)

    parser.set_defaults(execute=execute)


def ls(commands: Commands) -> None:
    parser = commands.add_parser("ls", help="list runs")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_of_study(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.records.listing import list_runs

        return list_runs(options.study, options.runs, options.json)

    parser.set_defaults(execute=execute)


def logs(commands: Commands) -> None:
    parser = commands.add_parser("logs", help="print what a run printed")
    parser.add_argument("--follow", action="store_true", help="go on until the run is complete or failed")
    add_run(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.records.listing import logs

        return logs(options.run, options.study, options.runs, options.follow)

    parser.set_defaults(execute=execute)


def rerun(commands: Commands) -> None:
    parser = commands.add_parser("rerun", help="execute a run again: it must come to the result it had")
    parser.add_argument("--reason", default="", metavar="TEXT", help="for the ledger")
    add_place(parser)
    add_run(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.records.housekeeping import rerun

        slurm = slurm_options(options, options.on == "slurm", "--on slurm")
        return rerun(options.run, options.study, options.runs, options.reason, slurm)

    parser.set_defaults(execute=execute)


def gc(commands: Commands) -> None:
    parser = commands.add_parser("gc", help="list what nothing needs any more: checkpoints, parts, runs of no study")
    parser.add_argument("--yes", action="store_true", help="delete it")
    parser.add_argument("--weights", action="store_true", help="also final weights that no run is given as an input")
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.records.housekeeping import collect_garbage

        return collect_garbage(options.runs, options.yes, options.weights)

    parser.set_defaults(execute=execute)


def ledger(commands: Commands) -> None:
    parser = commands.add_parser("ledger", help="the record of declarations and runs: check, search, join it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="is the chain whole, and do the results agree with it?")
    chains = actions.add_parser("chains", help="every chain of studies on one baseline: levels and outcomes")
    find = actions.add_parser("find", help="was this tried already?")
    merge = actions.add_parser("merge", help="take in another machine's ledger")
    find.add_argument("technique", nargs="?", metavar="TECHNIQUE", help="its name, or a .py file")
    find.add_argument("--options", default="", metavar="YAML", help="that it had, such as '{cap: 5}'")
    find.add_argument("--arm", metavar="NAME", help="the arm's name, or a pattern such as 'cap*'")
    merge.add_argument("other", type=Path, metavar="OTHER", help="a folder of runs, or its ledger.jsonl")
    for action in (chains, find):
        action.add_argument("--json", action="store_true", help="for programs")
    for action in (verify, chains, find, merge):
        add_runs(action)

    def execute(options: Namespace) -> int:
        if options.action == "verify":
            from coregpt.cli.records.ledger import verify_ledger

            return verify_ledger(options.runs)
        from coregpt.cli.records import ledger_chains

        if options.action == "chains":
            return ledger_chains.show_chains(options.runs, options.json)
        if options.action == "merge":
            return ledger_chains.merge_ledger(options.other, options.runs)
        return ledger_chains.find(options.technique, options.options, options.arm, options.runs, options.json)

    for action in (verify, chains, find, merge):
        action.set_defaults(execute=execute)
