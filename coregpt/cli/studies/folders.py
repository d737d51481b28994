"""One name, one study: a report folder and a name in the ledger belong to one declaration, by its place and kind."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.records.ledger import Ledger, LedgerError

if TYPE_CHECKING:
    from coregpt.cli.studies.resources import Resources
    from coregpt.lab.study.declaration import Study
    from coregpt.report.facts.model import Report


@dataclass(frozen=True)
class Owner:
    """Whose report a folder holds."""

    kind: str
    """study, logs or noise."""
    name: str
    digest: str
    command: str
    source: str
    """Of logs."""

    @property
    def told(self) -> str:
        """For a message."""
        what = {"logs": self.source, "noise": f"the noise of {self.name}"}.get(self.kind, f"the study {self.name}")
        return f"{what} (`{self.command}`)" if self.command else what

    def read_from(self, file: Path) -> bool:
        """Whether the command that made it was called with this file, as far as that can be seen from here."""
        words = shlex.split(self.command)
        return len(words) > 2 and Path(words[2]).resolve() == file.resolve()


def owner(report: "Report") -> Owner:
    """Whose report it is."""
    study = report.study
    kind = "logs" if study.imported else "study"
    return Owner(kind, study.name, study.digest, study.command, study.imported)


def owner_of(folder: Path) -> Owner | None:
    """None for a folder without a report, or with one that cannot be read."""
    try:
        data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        study: dict[str, Any] = data.get("study", data)
        kind = str(data.get("kind") or ("logs" if study.get("imported") else "study"))
        return Owner(kind, study["name"], study.get("digest", ""), study["command"], study.get("imported", ""))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def refuse_name(study: "Study", use: "Resources") -> None:
    """Raises ConfigError if another file was declared under the study's name in this folder of runs."""
    from coregpt.lab.records.owner import other_file  # imports torch, which `coregpt report` does without

    try:
        other = other_file(study, Ledger.of(use.store).read(), use.store)
    except LedgerError:  # told of by whoever registers the study
        return
    if other is not None:
        raise ConfigError(
            f"{study.path}: in {use.store} the name '{study.name}' belongs to another study, {other}: their records "
            "and reports would be one. Rename one of the two files, or keep their runs apart (--runs, --reports)"
        )


def refuse_folder(study: "Study", use: "Resources", kind: str = "study") -> None:
    """Raises ConfigError if the study's report would replace that of something else."""
    folder = use.reports / study.name
    there = owner_of(folder)
    if there is None or (there.kind == kind and _same(there, study, use)):
        return
    raise ConfigError(
        f"{folder} holds the report on {there.told}, which that on {study.path} would replace; rename the file, or "
        "write elsewhere (--reports DIR)"
    )


def refuse_other(folder: Path, mine: Owner, remedy: str) -> None:
    """Raises ConfigError if a folder holds the report on something else than what is to be written there."""
    there = owner_of(folder)
    if there is None or (there.kind == mine.kind and there.name == mine.name and _alike(there, mine)):
        return
    raise ConfigError(f"{folder} holds the report on {there.told}, which that on {mine.told} would replace; {remedy}")


def _same(there: Owner, study: "Study", use: "Resources") -> bool:
    if there.digest == study.digest or there.read_from(study.path):
        return True
    from coregpt.lab.records.history import History  # imports torch, see above

    try:
        known = {entry["digest"] for entry in History(Ledger.of(use.store).read(), study.name).declared}
    except LedgerError:  # then every verdict is invalid, and the report says so
        return True
    return there.digest in known or (there.kind == "noise" and not there.digest)


def _alike(there: Owner, mine: Owner) -> bool:
    if mine.kind == "logs":
        return there.source == mine.source
    return there.digest == mine.digest or there.command == mine.command
