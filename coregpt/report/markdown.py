"""The report as Markdown: the same words and numbers, with tables that can be pasted into a pull request."""

from itertools import pairwise

from coregpt.report import fork_pages, tables
from coregpt.report.charts import SYMBOLS
from coregpt.report.factorial import EFFECTS_READING
from coregpt.report.model import Report
from coregpt.report.tables import Table
from coregpt.report.targets_pages import target_parts
from coregpt.report.wording import digest_label, method


def render_markdown(report: Report, picture: str | None = None) -> str:
    """The whole document; `picture` is the relative path of the learning curves, if there are any."""
    study = report.study
    parts = [f"# {_line(study.question)}", f"**{_line(report.headline)}**"]
    prefix = "exploratory: " if study.exploratory else ""
    for c in report.comparisons:
        size = f" ({c.size})" if c.size else ""
        parts.append(f"- **{_line(c.arm)} {SYMBOLS[c.verdict]} {prefix}{c.verdict}{size}.** {_line(c.sentence)}")
    if report.notes:
        parts.append("## Worth knowing\n\n" + "\n".join(f"- {_line(note)}" for note in report.notes))
    if report.effects:
        found = report.effects
        table = f"None: {found.cause}." if found.cause else _table(tables.effects(found, study.alpha))
        parts += ["## Effects", EFFECTS_READING, table]
    if report.fork:
        parts += [f"## {fork_pages.TITLE}", fork_pages.words(report), *map(_table, fork_pages.tables(report))]
    for title, content in target_parts(report):
        parts += [f"## {title}", *(_table(item) if isinstance(item, Table) else item for item in content)]
    if picture:
        parts.append(f"![Mean learning curves with seed bands; y-axis zoomed]({picture})")
    confounds = tables.confounds(report)
    parts += [
        "## The numbers",
        _table(tables.results(report)),
        tables.results_note(report).replace("*", "\\*"),
        "### Second opinions",
        _table(tables.checks(report)),
        "## What it costs",
        _table(tables.costs(report)),
        "## Every run",
        _table(tables.runs(report)),
        *(["### Started and left out", _table(tables.other_runs(report))] if study.other_runs else []),
        "## What each arm changes",
        _table(tables.arms(report)),
        "## What else differs",
        _table(confounds) if confounds.rows else "Nothing else was found to differ between the arms.",
        "## Data",
        _table(tables.data(report)),
        "## How it was decided",
        *method(report),
        f"{digest_label(study)} `{study.digest}`",
        "## Environment",
        _table(tables.environment(report)),
    ]
    if study.command:
        parts.append(f"## Reproduce\n\n```\n{study.command}\n```")
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    """Blank lines between blocks, but not between the items of one list."""
    text = parts[0]
    for before, after in pairwise(parts):
        text += ("\n" if before.startswith("- ") and after.startswith("- ") else "\n\n") + after
    return text + "\n"


def _table(table: Table) -> str:
    align = "---" if table.words else "---:"
    head = "| " + " | ".join(map(_cell, table.head)) + " |\n| --- |" + f" {align} |" * (len(table.head) - 1)
    caption = [] if table.words else [f"{_line(table.title)}:", ""]
    return "\n".join([*caption, head, *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows)])


def _cell(words: str) -> str:
    return _line(words).replace("|", "\\|").replace("*", "\\*")


def _line(words: str) -> str:
    return " ".join(words.split()).replace("<", "&lt;")
