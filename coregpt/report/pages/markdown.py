"""The report as Markdown: the same words and numbers, with tables that can be pasted into a pull request."""

from itertools import pairwise

from coregpt.report.drawing import tables
from coregpt.report.drawing.charts import SYMBOLS
from coregpt.report.drawing.markup import line_markdown as _line
from coregpt.report.drawing.markup import table_markdown as _table
from coregpt.report.facts.model import Report
from coregpt.report.pages.method import digest_label, method
from coregpt.report.pages.paste import paste_section
from coregpt.report.pages.sections import sections


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
    for section in sections(report):
        parts += section.as_markdown()
    if picture:
        parts.append(f"![Mean learning curves with seed bands; y-axis zoomed]({picture})")
    confounds = tables.confounds(report)
    parts += [
        "## The numbers",
        _table(tables.results(report)),
        tables.results_note(report).replace("*", "\\*"),
        "### Second opinions",
        _table(tables.checks(report)),
        *paste_section(report).as_markdown(),
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
