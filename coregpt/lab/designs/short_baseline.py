"""`test.yardstick`: the baseline once more with a share of its tokens; against it a gain in loss becomes steps saved.

The short run is a run of its own, with its own complete schedule: a point on the longer run's curve, where the
learning rate has not come down yet, would make every gain look like more steps than it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.declaration import Study, StudyFile


class ShortBaseline(Design):
    """One more arm, with the same seeds as the others, that is measured with and not compared."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("yardstick") is not None:
            yield "test.yardstick"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        share = study.criterion.yardstick
        if share is None:
            return study
        baseline = next(arm for arm in study.arms if arm.name == study.criterion.baseline)
        name = f"{baseline.name} at {share:g} of its tokens"
        run = baseline.run.model_copy(update={"tokens": int(share * baseline.run.tokens)})
        return replace(study, arms=(*study.arms, replace(baseline, name=name, run=run, compared=False)))

    def fresh(self, study: Study) -> Study:
        """What is compared needs the short run in no way."""
        return replace(study, arms=study.compared)
