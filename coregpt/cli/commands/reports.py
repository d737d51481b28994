"""What makes reports and reads them."""

from argparse import Namespace
from pathlib import Path

from coregpt.cli.options import Commands, folder, positive


def report(commands: Commands) -> None:
    parser = commands.add_parser("report", help="write the report's pages again from its JSON")
    parser.add_argument("json", type=Path, nargs="?", metavar="REPORT_JSON", help="a report.json")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the folder of the JSON")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of report.json instead")

    def execute(options: Namespace) -> int:
        from coregpt.cli.reports.report import print_schema, rewrite

        return print_schema() if options.schema else rewrite(options.json, options.out)

    parser.set_defaults(execute=execute)


def results(commands: Commands) -> None:
    parser = commands.add_parser("results", help="a report's runs, curves and comparisons as tables")
    parser.add_argument("study", metavar="STUDY", help="the name of a report, its folder or its report.json")
    parser.add_argument("--reports", type=folder, metavar="DIR", help="where to look (runs/reports, then reports)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--csv", type=Path, metavar="DIR", help="write the tables here, exact to the last bit")
    where.add_argument("--parquet", type=Path, metavar="DIR", help="the same as Parquet files")

    def execute(options: Namespace) -> int:
        from coregpt.cli.reports.results import results

        return results(options.study, options.reports, options.csv, options.parquet)

    parser.set_defaults(execute=execute)


def import_(commands: Commands) -> None:
    parser = commands.add_parser("import", help="report on training logs of runs made elsewhere")
    parser.add_argument("folder", type=Path, metavar="DIR", help="one folder per arm with its logs")
    parser.add_argument("--arm", action="append", default=[], metavar="NAME=GLOB", help="the files of one arm; repeat")
    parser.add_argument("--baseline", metavar="NAME", help="the arm to compare with (the first)")
    parser.add_argument("--metric", default="val_loss", help="default: val_loss")
    parser.add_argument("--step", type=positive, metavar="N", help="judge here (the last step all full runs share)")
    parser.add_argument("--target", type=float, metavar="X", help="compare how soon each arm reaches this value")
    parser.add_argument("--name", help="default: the folder's name")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/reports/NAME")
    parser.add_argument("--alpha", type=float, default=0.05, help="default: 0.05")
    parser.add_argument("--margin", type=float, default=0.01, help="smallest difference that matters (0.01)")

    def execute(options: Namespace) -> int:
        from dataclasses import fields  # brings `inspect` along, a fifth of the start-up

        from coregpt.cli.reports.importing import ImportOptions, import_logs

        asked = {field.name: getattr(options, field.name) for field in fields(ImportOptions) if field.name != "arms"}
        return import_logs(ImportOptions(arms=tuple(options.arm), **asked))

    parser.set_defaults(execute=execute)
