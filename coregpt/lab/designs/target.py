"""`test.target`: how soon each arm reaches a value of the metric.

Published records read the validation stream along the whole run, so the runs of such a study evaluate `held_out` at
every evaluation, and their configuration says so. The claim at the end is a test of its own, and the earliest step
follows from it backwards (`stats.target`); nobody chooses by the curve.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.declaration import Study, StudyFile


class Target(Design):
    """Every run goes to its end, with a curve on `held_out`."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("target") is not None:
            yield "test.target"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        if study.criterion.target is None:
            return study
        arms = (replace(arm, run=arm.run.model_copy(update={"held_out_curve": True})) for arm in study.arms)
        return replace(study, arms=tuple(arms))
