"""Arms decided before the end of their study: recomputed from the runs, whatever was decided while they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts


@dataclass(frozen=True)
class Early:
    """What a study has decided before its end. `runs` are all planned ones, saying what became of them and why."""

    runs: Sequence[RunFacts]
    counted: Sequence[RunFacts]
    """Those that the analysis uses."""
    settled: Mapping[str, Comparison]
    """Arms that are judged by what was seen when they were decided."""
    found: Mapping[str, Any]
    """Fields of the report."""


def waiting(run: RunFacts) -> bool:
    """Whether there is nothing of a run but, perhaps, its first part."""
    return run.status in ("missing", "spared", "aborted")


def not_counted(run: RunFacts, why: str = "") -> dict[str, str]:
    """What to change of a run that is there and does not count."""
    said = f"not counted: {why}" if why else "not counted"
    return {"reason": f"{said}; {run.reason}" if run.reason else said}


def told_otherwise(study: StudyFacts, made: Mapping[str, tuple[int, str]]) -> list[str]:
    """Where the ledger's decisions are not those that follow from the runs: seeds and word by arm."""
    told = [(entry, made.get(entry.arm)) for entry in study.decided]
    return [
        f"The ledger recorded for {entry.arm}: {entry.decision} after {entry.pairs} seeds; from the runs follows "
        + (f"{now[1]} after {now[0]} seeds" if now else "no decision")
        + ". The report goes by the runs."
        for entry, now in told
        if (entry.pairs, entry.decision) != now
    ]
