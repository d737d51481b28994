"""What of a study only a machine can say, measured once and then taken from the ledger."""

from collections.abc import Sequence
from pathlib import Path

from coregpt.lab.designs import DESIGNS
from coregpt.lab.planning.plans import outline, outlines, plan
from coregpt.lab.study.declaration import Study


def measured(studies: Sequence[Study], store: Path, record: bool = True) -> list[Study]:
    """The studies with what was measured; whatever else is wrong with them is told before anything is recorded.

    Raises CoreGPTError where a study cannot run here.
    """
    if record and any(design.measures(studies[0]) for design in DESIGNS):
        outlines(studies)
    return [_measured(study, store, record) for study in studies]


def _measured(study: Study, store: Path, record: bool) -> Study:
    for design in DESIGNS:
        study = design.measure(study, store, lambda each: plan(outline(each)), record)
    return study
