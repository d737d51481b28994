"""Chains of studies: `stage: screen` looks for candidates, `confirms` tests one on fresh seeds, `chain` names a chain,
`follows` stays in one whose find is the baseline now, `earlier` counts what was tried where no ledger at hand has it,
behind which a screen's confirmations stand too.

Whoever tries one idea after another is wrong more often than alpha. So studies of one baseline are a chain: screens
spend nothing and call nothing better; whatever may say "better" is a confirmation, tested at a level that falls with
their number (`stats.lond`). Which chain and which level a study gets, the ledger decides (`lab.planning.chain`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.chaining import earlier, screens, unresolved
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.problems import Problem

SCREEN, CONFIRMS = "stage: screen", "confirms"


class Chain(Design):
    """What a study is in the chain of its baseline."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.stage == "screen":
            yield SCREEN
        if file.confirms is not None:
            yield CONFIRMS

    def file_problems(self, file: StudyFile) -> Iterator[Problem]:
        if file.follows is not None and file.chain is not None:
            yield ("follows",), "says which chain the study belongs to, and so does 'chain'; remove one of them"
        if file.earlier is not None and file.earlier.scale not in (None, *file.scales):
            yield ("earlier", "scale"), f"the study has no scale '{file.earlier.scale}'"
        if file.confirms is None:
            return
        if not isinstance(file.seeds, int):
            yield ("seeds",), "a confirmation says how many; which ones no run has used is found when it is registered"
        if file.chain is not None:
            yield ("chain",), "a confirmation belongs to the chain of the study that it confirms; remove it"
        if file.follows is not None:
            yield ("follows",), "a confirmation belongs to the chain of the study that it confirms; remove it"
        if file.scales:
            yield ("scales",), "a confirmation has the scale of the study that it confirms; remove them"

    def declare(self, file: StudyFile) -> Mapping[str, Any]:
        said = {key: getattr(file, key) for key in ("stage", "chain", "earlier", "confirms", "follows")}
        return {key: value for key, value in said.items() if value is not None}

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        if (told := earlier(study)) is not None and told.scale not in (None, study.scale):
            study = replace(study, designs={key: of for key, of in study.designs.items() if key != "earlier"})
        if file.confirms is not None:
            return unresolved(study)
        # What a screen chooses by is never what a verdict is made of.
        return replace(study, reads="select") if screens(study) else study
