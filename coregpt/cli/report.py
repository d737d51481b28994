"""`coregpt report`: the pages of a report are made from its JSON alone."""

from pathlib import Path

from coregpt.cli.programs import reported
from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import read_text, writable_folder, write_text
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, schema_text
from coregpt.report.pages.render import render
from coregpt.report.pages.text import verdict_lines


def print_schema() -> int:
    """What a report.json may hold, as JSON schema."""
    say(schema_text().rstrip())
    return 0


def rewrite(source: Path | None, out: Path | None) -> int:
    """Render a report.json again, into its own folder or another one."""
    if source is None:
        raise ConfigError("report: expected the path of a report.json (or --schema)")
    report = read_report(source)
    write_report(report, writable_folder(source.parent if out is None else out))
    return 0


def read_report(source: Path) -> Report:
    """Raises ConfigError for anything that is not a whole report."""
    return from_json(read_text(source), str(source))


def write_report(report: Report, folder: Path) -> None:
    """Write every page and print the verdict."""
    files = render(report)
    for name, text in files.items():
        write_text(folder / name, text)
    say()
    for line in verdict_lines(report):
        say(line)
    say()
    for name in files:
        say(f"  {folder / name}")
    reported(report, folder, tuple(files))
