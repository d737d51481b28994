"""Published reports: what one's own is held against, and how it becomes one."""

import hashlib
import shlex
from pathlib import Path

from coregpt.cli.screen import say
from coregpt.cli.studies.published import same_study
from coregpt.contract.errors import ConfigError
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.report.analysis.published import against
from coregpt.report.drawing.agreement import agreement
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json
from coregpt.report.places import PUBLISHED, RUNS, own


def with_published(study: Study, report: Report, folder: Path) -> Report:
    """Held against the published report on the same study, if there is one that can be read.

    One that is about to be replaced is told of and forgotten.
    """
    source = PUBLISHED / report.study.name / "report.json"
    try:
        text = source.read_text(encoding="utf-8")
        theirs = from_json(text, str(source))
    except (OSError, ValueError, ConfigError):
        return report
    if not same_study(study, theirs):
        return report
    found = against(report, theirs, str(source), hashlib.sha256(text.encode()).hexdigest())
    if folder.resolve() != source.parent.resolve():
        return report.model_copy(update={"published": found})
    for line in agreement(report, found):
        say(line)
    return report


def how_to_publish(made: Plan, store: Path, folder: Path) -> list[str]:
    """What to type, for a report that lies where one's own do."""
    study = made.study
    if folder.parent != own(store):
        return []
    words = ["coregpt", "ablate", str(study.path), *(["--scale", study.scale] if study.scale else [])]
    words += ["--runs", str(store)] if store != RUNS else []
    return [f"To publish it: {shlex.join([*words, '--reports', str(PUBLISHED)])}"]
