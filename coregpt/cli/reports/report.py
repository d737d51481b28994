"""`coregpt report`: the pages of a report are made from its JSON alone."""

from pathlib import Path

from coregpt.cli.programs import reported
from coregpt.cli.screen import say
from coregpt.cli.studies.folders import owner, refuse_other
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import read_text, writable_folder, write_text
from coregpt.report.analysis.own_runs import contradictions, in_these_words, same_rules
from coregpt.report.drawing.numbers import plural
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import broken_seal, from_json, schema_text
from coregpt.report.pages.render import render
from coregpt.report.pages.text import verdict_lines
from coregpt.report.places import PUBLISHED, own

STUDIES = (".yaml", ".yml")


def print_schema() -> int:
    """What a report.json may hold, as JSON schema."""
    say(schema_text().rstrip())
    return 0


def rewrite(source: Path | None, out: Path | None) -> int:
    """Render a report.json again, into its own folder or another one. Raises ConfigError for one that was edited."""
    if source is None:
        raise ConfigError("report: expected the path of a report.json (or --schema)")
    report = read_report(source)
    refuse_edited(report, source)
    folder = source.parent if out is None else out
    if folder.resolve() != source.parent.resolve():
        refuse_other(folder, owner(report), "write elsewhere (--out DIR)")
    now = in_these_words(report)
    if now.headline != report.headline:
        say(f"The JSON's headline was: {report.headline}")
    write_report(now, writable_folder(folder))
    return 0


def read_report(source: Path) -> Report:
    """Raises ConfigError for anything that is not a whole report."""
    if source.suffix in STUDIES:
        made = [place / source.stem / "report.json" for place in (own(), PUBLISHED)]
        which = next((str(file) for file in made if file.is_file()), "report.json, which coregpt ablate writes")
        raise ConfigError(f"{source}: a study file; expected its {which}")
    if source.is_dir():
        raise ConfigError(f"{source}: a folder; expected {source / 'report.json'}")
    return from_json(read_text(source), str(source))


def refuse_edited(report: Report, source: Path) -> None:
    """Raises ConfigError for a report whose verdicts and numbers are not those of its own runs."""
    found = edits(report, source, verdicts=True)
    if not found:
        return
    more = f" (and {plural(len(found) - 1, 'more difference')})" if len(found) > 1 else ""
    why = "it was edited or damaged"
    if not same_rules(report):
        theirs = report.study.environment.values["coregpt"]
        why = f"coregpt {theirs} wrote it: render it with that version, or it was edited"
    again = f"; `{report.study.command}` makes it anew" if report.study.command else ""
    raise ConfigError(f"{source}: {found[0]}{more}; {why}{again}")


def edits(report: Report, source: Path, verdicts: bool = False) -> list[str]:
    """What a report says that does not follow from its own runs, and whether the facts in its file were changed."""
    return [*contradictions(report, verdicts), *filter(None, [broken_seal(read_text(source))])]


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
