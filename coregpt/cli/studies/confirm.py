"""`coregpt confirm`: a candidate of a screen on fresh seeds, at the level that its chain gives it."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from coregpt.cli.reports.report import edits, read_report
from coregpt.cli.screen import say
from coregpt.cli.studies.ablate import ablate
from coregpt.cli.studies.published import published_study
from coregpt.cli.studies.resources import Resources
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import gone_if_refused, read_text, writable_folder, write_text
from coregpt.lab.planning.chain import ALPHA
from coregpt.lab.planning.confirmation import confirmation
from coregpt.lab.records.chains import Chains, Registration
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.registry import nearest
from coregpt.lab.study.sections.chain import EarlierFile
from coregpt.report.facts.model import Report

CANDIDATES = ("candidate", "screened", "better")
FEWEST = 6


@dataclass(frozen=True)
class Asked:
    """What is to be confirmed, and how; None where a default is to be taken."""

    arm: str
    seeds: int | None = None
    alpha: float | None = None
    anytime: bool = False
    name: str | None = None
    yaml: Path | None = None
    earlier: EarlierFile | None = None
    """What no ledger has, if more is known of it than the report's study says."""


def confirm(source: Path, asked: Asked, use: Resources) -> int:
    """Write the study file beside where its report will be, and run it. Exit codes as for `ablate`."""
    report = read_report(source)
    refuse(report, asked.arm, source)
    chains = Chains(Ledger.of(use.store).read())
    known = on_record(report, chains, source, use.store)
    name = asked.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{report.study.name}-confirm-{asked.arm}")
    path = use.reports / name / f"{name}.yaml"
    text = study_text(report, known, asked, chains, path, source, use)
    if path.exists() and read_text(path) != text:
        raise ConfigError(f"{path} is there and says something else; --name NAME makes another confirmation")
    with gone_if_refused(path, unless=lambda: Chains(Ledger.of(use.store).read()).of(name) is not None):
        writable_folder(path.parent)
        write_text(path, text)
        say(f"study {path}")
        return ablate(path, None, use)


def refuse(report: Report, arm: str, source: Path) -> None:
    """Raises ConfigError for what is no candidate, and for a report whose numbers do not follow from its runs."""
    verdicts = {c.arm: c.verdict for c in report.comparisons}
    if arm not in verdicts:
        raise ConfigError(f"--arm: '{arm}' is no arm of {source} beside its baseline{nearest(arm, verdicts)}")
    if verdicts[arm] not in CANDIDATES:
        there = [name for name, verdict in verdicts.items() if verdict in CANDIDATES]
        which = f"candidates are: {', '.join(there)}" if there else "it has none"
        raise ConfigError(f"--arm: '{arm}' is no candidate in {source} ({verdicts[arm]}); {which}")
    if edited := edits(report, source):
        raise ConfigError(f"{source} contradicts itself: {edited[0]}")


def on_record(report: Report, chains: Chains, source: Path, store: Path) -> Registration:
    """The report's study as the ledger has it. Raises ConfigError if it does not."""
    found = chains.anywhere(report.study.name, report.study.digest)
    if found is None:
        raise ConfigError(
            f"{source}: the ledger in {store} has no study '{report.study.name}' with this digest, so which seeds its "
            "chain has used is not known here; take in the ledger of the machine on which it ran: "
            "coregpt ledger merge FOLDER"
        )
    return found


def study_text(
    report: Report, known: Registration, asked: Asked, chains: Chains, path: Path, source: Path, use: Resources
) -> str:
    """Twice the seeds of the report, at the chain's alpha, unless something else is asked for."""
    seeds = asked.seeds or max(FEWEST, 2 * len(report.study.seeds))
    study = replace(published_study(report, asked.yaml, source, use), seeds=tuple(range(seeds)))
    if (told := asked.earlier or earlier_in(report)) is not None:
        study = replace(study, designs={**study.designs, "earlier": told})
    first = chains.first(known.chain)
    alpha = asked.alpha or (first.alpha if first else ALPHA)
    return confirmation(known, study, asked.arm, alpha, path.parent, asked.anytime)


def earlier_in(report: Report) -> EarlierFile | None:
    """What the report's study says was tried where no ledger has it: a screen spends nothing, its confirmation does."""
    said = (report.study.declaration or {}).get("earlier")
    return EarlierFile(**said) if said else None
