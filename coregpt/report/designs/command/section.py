"""The program of each arm on the pages: the command, its versions, edits and inputs; every difference at the end."""

import json
from collections.abc import Iterator

from coregpt.report.designs.command.words import SHORT, packages, trust
from coregpt.report.drawing.markup import Block, Code, Folded, Section
from coregpt.report.drawing.numbers import DASH
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report
from coregpt.report.facts.program import ProgramFacts

TITLE = "The program"
PATCHES = "Source differences"
NAMES = "Runs are of the commits above. coregpt verify takes these again; coregpt ablate what the names mean by then."


def program_section(report: Report, program: ProgramFacts) -> Section:
    """Whose numbers these are, what was run, and in what arms differ."""
    limit = f"; at most {_limit(program.time_limit)} a run" if program.time_limit else ""
    words = f"Read: {program.metric}; the {program.final} value of {report.study.metric} counts{limit}."
    content: list[Block] = [trust(report.study), Code(program.command, "sh"), words, _versions(program)]
    if any(not arm.commit.startswith(arm.at) for arm in program.arms):
        content.append(NAMES)
    if program.edit:
        content.append(_edits(program))
    if program.inputs:
        rows = tuple(program.inputs.items())
        content.append(Table("Inputs outside git", ("path", "sha256"), rows, words=True))
    return Section(TITLE, tuple(content))


def patches(program: ProgramFacts) -> Iterator[Section]:
    """The full difference of every arm's code."""
    shown = [arm for arm in program.arms if arm.diff]
    if shown:
        yield Section(PATCHES, tuple(Folded(f"{arm.arm}: {arm.stat}", (Code(arm.diff, "diff"),)) for arm in shown))


def _limit(seconds: float) -> str:
    """As people declare one: `90 s`, `5 min`, `1.5 h`."""
    size, unit = (3600, "h") if seconds >= 5400 else (60, "min") if seconds >= 120 else (1, "s")
    return f"{round(seconds / size, 1):g} {unit}"


def _versions(program: ProgramFacts) -> Table:
    rows = [
        (
            arm.arm,
            arm.at,
            arm.commit[:SHORT] + (f" with patch {arm.patch[:SHORT]}" if arm.patch else ""),
            arm.subject or DASH,
            arm.stat or DASH,
            ", ".join(arm.settings) or DASH,
            packages(arm) or DASH,
        )
        for arm in program.arms
    ]
    head = ("arm", "at", "commit", "its message", "code", "settings", "packages")
    return Table(f"Versions of {program.repo}, and what differs from the baseline", head, rows, words=True)


def _edits(program: ProgramFacts) -> Table:
    rows = [
        (file, json.dumps(old, ensure_ascii=False), json.dumps(new, ensure_ascii=False))
        for file, edits in program.edit.items()
        for old, new in edits.items()
    ]
    return Table("Edits made in the clone of every arm alike", ("file", "found", "in its place"), rows, words=True)
