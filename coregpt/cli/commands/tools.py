"""What is there besides studies: techniques and a first look at one, the simulation of the statistics."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from coregpt.cli.options import Commands, add_jobs
from coregpt.cli.programs import add_program


def try_(commands: Commands) -> None:
    parser = commands.add_parser("try", help="test a technique's laws, then a tiny model with and without it")
    parser.add_argument("name", metavar="NAME", help="a technique or a .py file")
    parser.add_argument("--options", default="", metavar="YAML", help="the technique's options, such as '{cap: 5}'")
    where = "where study, runs and report go (tries)"
    parser.add_argument("--out", type=Path, default=Path("tries"), metavar="DIR", help=where)
    add_jobs(parser)
    add_program(parser, judges=True)

    def execute(options: Namespace) -> int:
        from coregpt.lab.execute.pool import warming

        with warming(True) as pool:
            from coregpt.cli.tools.attempt import attempt

            return attempt(options.name, options.options, options.out, options.jobs, pool)

    parser.set_defaults(execute=execute)


def plugins(commands: Commands) -> None:
    parser = commands.add_parser("plugins", help="list, describe, check or begin techniques")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    every = actions.add_parser("list", help="every technique in one line each")
    show = actions.add_parser("show", help="what a technique does, its options and hooks")
    check = actions.add_parser("check", help="test a technique's laws")
    new = actions.add_parser("new", help="write a technique to begin with, its test and a small study")
    api = actions.add_parser("api", help="print what a technique may import, and the hooks, as Markdown")
    pages = actions.add_parser("pages", help="write the catalogue of techniques as static pages")
    show.add_argument("name", metavar="NAME", help="a technique or a .py file")
    check.add_argument("names", metavar="NAME", nargs="*", help="techniques or .py files")
    add_check(check)
    add_pages(pages)
    new.add_argument("name", metavar="NAME", help="what it will be called, such as head_gain")
    new.add_argument("--hook", required=True, metavar="HOOK", help="the question it answers, such as make_attend")

    def execute(options: Namespace) -> int:
        if options.action in ("new", "api"):
            from coregpt.cli.tools.authoring import begin, print_api

            return print_api() if options.action == "api" else begin(options.name, options.hook)
        if options.action == "pages":
            from coregpt.cli.tools.catalogue import write_pages

            return write_pages(options.out, options.package, options.prices, options.reports, options.again)
        from coregpt.cli.tools.plugins import Check, check, list_all, show

        if options.action == "list":
            return list_all()
        if options.action == "show":
            return show(options.name)
        asked = Check(tuple(options.options), tuple(options.beside), options.pairs, options.fast)
        return check(options.names, asked)

    for action in (every, show, check):
        add_program(action, trains=False)
    for action in (every, show, check, new, api, pages):
        action.set_defaults(execute=execute)


def add_pages(pages: ArgumentParser) -> None:
    prices = Path("benchmarks", "results", "prices.json")
    where = "folder of the pages (docs/techniques)"
    pages.add_argument("--out", type=Path, default=Path("docs", "techniques"), metavar="DIR", help=where)
    whose = "package whose techniques are told (coregpt_plugins)"
    pages.add_argument("--package", default="coregpt_plugins", metavar="NAME", help=whose)
    pages.add_argument("--prices", type=Path, default=prices, metavar="FILE", help=f"what steps cost ({prices})")
    pages.add_argument("--again", action="store_true", help="build pairs anew whose files have not changed")
    published = "published reports, whose effects are told (reports)"
    pages.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help=published)


def add_check(check: ArgumentParser) -> None:
    check.add_argument(
        "--options",
        action="append",
        default=[],
        metavar="K=V",
        help="its options; repeat, or '{k: v, ...}'",
    )
    check.add_argument(
        "--with", dest="beside", action="append", default=[], metavar="NAME", help="another one enabled beside; repeat"
    )
    how = check.add_mutually_exclusive_group()
    how.add_argument("--pairs", action="store_true", help="train it with every other one (no NAME: all with all)")
    how.add_argument("--fast", action="store_true", help="leave out what takes longer than the rest")


def schema(commands: Commands) -> None:
    parser = commands.add_parser("schema", help="print the JSON schema of a study file, a report or a verdict")
    kinds = ["study", "report", "verdict", "exit-codes"]
    parser.add_argument("kind", nargs="?", choices=kinds, default="study", metavar="KIND", help=f"{', '.join(kinds)}")

    def execute(options: Namespace) -> int:
        from coregpt.cli.tools.schema import show_schema

        return show_schema(options.kind)

    parser.set_defaults(execute=execute)


def calibrate(commands: Commands) -> None:
    parser = commands.add_parser("calibrate", help="simulate whether the statistics keep their promises")
    parser.add_argument("--quick", action="store_true", help="a tenth of the studies")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the simulation (0)")

    def execute(options: Namespace) -> int:
        from coregpt.cli.tools.calibrate import show_calibration

        return show_calibration(options.seed, options.quick)

    parser.set_defaults(execute=execute)
