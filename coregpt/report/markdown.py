"""The report as Markdown: the same words and numbers, with tables that can be pasted into a pull request."""

from coregpt.report import tables
from coregpt.report.charts import SYMBOLS
from coregpt.report.model import Report
from coregpt.report.numbers import fixed
from coregpt.report.tables import Table


def render_markdown(report: Report, picture: str | None = None) -> str:
    """The whole document; `picture` is the relative path of the learning curves, if there are any."""
    study, design = report.study, report.design
    parts = [f"# {_line(study.question)}", f"**{_line(report.headline)}**"]
    prefix = "exploratory: " if study.exploratory else ""
    for c in report.comparisons:
        size = f" ({c.size})" if c.size else ""
        parts.append(f"- **{_line(c.arm)} {SYMBOLS[c.verdict]} {prefix}{c.verdict}{size}.** {_line(c.sentence)}")
    if report.notes:
        parts.append("## Read this with it\n\n" + "\n".join(f"- {_line(note)}" for note in report.notes))
    if picture:
        parts.append(f"![Mean learning curves with seed bands; y-axis zoomed]({picture})")
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
        "## What each arm changes",
        _table(tables.arms(report)),
        "## What else differs",
        _table(tables.confounds(report)) if study.confounds else "Nothing else was found to differ between the arms.",
        "## Data",
        _table(tables.data(report)),
        "## How it was decided",
        f"Test: {design.name}. Why: {design.reason}. It was chosen from the number of seeds and arms, before any result.",
        f"Fixed beforehand: alpha {study.alpha:g} two-sided, margin ±{study.margin:g} {study.unit}, power {study.power:g}, "
        f"seeds {', '.join(map(str, study.seeds))}.",
    ]
    if report.planned_detectable is not None:
        parts.append(
            f"Planned to detect {fixed(report.planned_detectable, 4)} {study.unit} with {study.power:.0%} probability, "
            f"assuming a standard deviation of {study.assumed_sd:g} between paired runs."
        )
    parts += [f"Preregistration digest `{study.digest}`", "## Environment", _table(tables.environment(report))]
    if study.command:
        parts.append(f"## Reproduce\n\n```\n{study.command}\n```")
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    """Blank lines between blocks, but not between the items of one list."""
    text = parts[0]
    for before, after in zip(parts, parts[1:], strict=False):
        text += ("\n" if before.startswith("- ") and after.startswith("- ") else "\n\n") + after
    return text + "\n"


def _table(table: Table) -> str:
    align = "---" if table.words else "---:"
    head = "| " + " | ".join(map(_cell, table.head)) + " |\n| --- |" + f" {align} |" * (len(table.head) - 1)
    return "\n".join([head, *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows)])


def _cell(words: str) -> str:
    return _line(words).replace("|", "\\|").replace("*", "\\*")


def _line(words: str) -> str:
    return " ".join(words.split()).replace("<", "&lt;")
