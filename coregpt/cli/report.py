"""`coregpt report`: the pages of a report are made from its JSON alone."""

from pathlib import Path

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import writable_folder, write_text
from coregpt.report.model import Report
from coregpt.report.render import render
from coregpt.report.serialise import from_json
from coregpt.report.text import verdict_lines


def rewrite(source: Path, out: Path | None) -> int:
    """Render a report.json again, into its own folder or another one."""
    report = read_report(source)
    write_report(report, writable_folder(source.parent if out is None else out))
    return 0


def read_report(source: Path) -> Report:
    """Raises ConfigError for anything that is not a whole report."""
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not a text file in UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read ({error.strerror})") from error
    return from_json(text, str(source))


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
