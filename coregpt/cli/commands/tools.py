"""What is there besides studies: techniques, data, the simulation of the statistics."""

from argparse import Namespace

from coregpt.cli.options import Commands, positive


def plugins(commands: Commands) -> None:
    parser = commands.add_parser("plugins", help="list, describe or check techniques")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    every = actions.add_parser("list", help="every technique in one line each")
    show = actions.add_parser("show", help="what a technique does, its options and hooks")
    check = actions.add_parser("check", help="test a technique's laws")
    for action in (show, check):
        action.add_argument("name", metavar="NAME", help="a technique or a .py file")

    def execute(options: Namespace) -> int:
        from coregpt.cli.plugins import check, list_all, show

        if options.action == "list":
            return list_all()
        return show(options.name) if options.action == "show" else check(options.name)

    for action in (every, show, check):
        action.set_defaults(execute=execute)


def data(commands: Commands) -> None:
    parser = commands.add_parser("data", help="get training data")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("fetch", help="download pre-tokenised shards")
    action.add_argument("name", choices=["fineweb10B"])
    action.add_argument("--shards", type=positive, default=1, metavar="N", help="training shards of 100M tokens (1)")

    def execute(options: Namespace) -> int:
        from coregpt.cli.data import fetch

        return fetch(options.shards)

    action.set_defaults(execute=execute)


def calibrate(commands: Commands) -> None:
    parser = commands.add_parser("calibrate", help="simulate whether the statistics keep their promises")
    parser.add_argument("--quick", action="store_true", help="a tenth of the studies")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the simulation (0)")

    def execute(options: Namespace) -> int:
        from coregpt.cli.calibrate import show_calibration

        return show_calibration(options.seed, options.quick)

    parser.set_defaults(execute=execute)
