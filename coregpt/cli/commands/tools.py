"""What is there besides studies: techniques and a first look at one, the simulation of the statistics."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from coregpt.cli.options import Commands, add_jobs, amount, positive
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
    wide = actions.add_parser("widths", help="what a technique does as models grow wider: activations, learning rates")
    new = actions.add_parser("new", help="write a technique to begin with, its test and a small study")
    api = actions.add_parser("api", help="print what a technique may import, and the hooks, as Markdown")
    pages = actions.add_parser("pages", help="write the catalogue of techniques as static pages")
    show.add_argument("name", metavar="NAME", help="a technique or a .py file")
    check.add_argument("names", metavar="NAME", nargs="*", help="techniques or .py files")
    add_check(check)
    add_widths(wide)
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
        if options.action == "widths":
            from coregpt.cli.tools.widths import Asked, widths

            how = (options.widths, options.lr, options.steps, tuple(options.rates), options.sweep, options.html)
            return widths(options.name, Asked(options.options, options.beside, *how))
        from coregpt.cli.tools.plugins import Check, check, list_all, show

        if options.action == "list":
            return list_all()
        if options.action == "show":
            return show(options.name)
        asked = Check(
            tuple(options.options),
            tuple(options.beside),
            options.pairs,
            options.fast,
            options.every,
            options.results,
            options.part,
        )
        return check(options.names, asked)

    for action in (every, show, check, wide):
        add_program(action, trains=False)
    for action in (every, show, check, wide, new, api, pages):
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


def add_widths(wide: ArgumentParser) -> None:
    wide.add_argument("name", metavar="NAME", help="a technique or a .py file")
    add_settings(wide)
    sizes = "rising multiples of 16 (32 64 128 256)"
    wide.add_argument("--widths", type=positive, nargs="+", default=[32, 64, 128, 256], metavar="N", help=sizes)
    wide.add_argument("--lr", type=amount, default=0.002, metavar="X", help="of the coordinate check (0.002)")
    wide.add_argument("--steps", type=positive, default=10, metavar="N", help="of the coordinate check (10)")
    sweep = "also train each width at each rate for N steps, to see whether the best rate moves"
    wide.add_argument("--sweep", type=positive, default=0, metavar="N", help=sweep)
    rates = "octaves of the rates of --sweep: from 2^A to 2^B (-12 -4)"
    wide.add_argument("--rates", type=int, nargs=2, default=[-12, -4], metavar=("A", "B"), help=rates)
    wide.add_argument("--html", type=Path, metavar="FILE", help="also write a page with pictures")


def add_settings(parser: ArgumentParser) -> None:
    """A technique's options, and what is enabled with it."""
    parser.add_argument(
        "--options",
        action="append",
        default=[],
        metavar="K=V",
        help="its options; repeat, or '{k: v, ...}'",
    )
    parser.add_argument(
        "--with", dest="beside", action="append", default=[], metavar="NAME", help="another one enabled beside; repeat"
    )


def add_check(check: ArgumentParser) -> None:
    add_settings(check)
    check.add_argument("--all", dest="every", action="store_true", help="every technique there is")
    how = check.add_mutually_exclusive_group()
    how.add_argument("--pairs", action="store_true", help="train it with every other one (no NAME: all with all)")
    how.add_argument("--fast", action="store_true", help="leave out what takes longer than the rest")
    kept = "of --pairs: keep what is found in FILE, a line each; another call goes on from there"
    check.add_argument("--results", type=Path, metavar="FILE", help=kept)
    some = "of --pairs or --all: the I-th of N parts, for N processes (with a file each)"
    check.add_argument("--part", type=part, default=(1, 1), metavar="I/N", help=some)


def part(text: str) -> tuple[int, int]:
    one, _, many = text.partition("/")
    if not (one.isdecimal() and many.isdecimal() and 1 <= int(one) <= int(many)):
        raise ArgumentTypeError(f"expected I/N with I from 1 to N, such as 1/4, got {text!r}")
    return int(one), int(many)


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
