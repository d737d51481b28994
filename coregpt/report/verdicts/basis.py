"""How the arms of a study are tested, fixed before any result."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coregpt.report.facts.inputs import StudyFacts
from coregpt.stats.design import Design, choose_test
from coregpt.stats.moderated import VariancePrior
from coregpt.stats.power import detectable

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """The test, what it borrows, and the smallest gain it was planned to find; None without an assumed sd."""

    design: Design
    prior: VariancePrior | None
    detectable: float | None
    allowance: Callable[[str, float], float] | None = None
    """What the variance of a comparison must allow for beyond sampling, by arm and the variance of its paired
    differences; None where settings are as declared."""
    no_ranks: str = ""
    """Why ranks decide nothing where runs diverged; empty if they may."""

    def allowed(self, arm: str, baseline: Vector, values: Vector) -> float:
        """The allowance for one arm, whose runs all have a number."""
        if self.allowance is None or len(values) < 2:
            return 0.0
        return self.allowance(arm, float(np.var(baseline - values, ddof=1)))


def basis_of(study: StudyFacts, prior: VariancePrior | None = None) -> Basis:
    """For one verdict after all seeds; with fewer runs in some arms, by the fewest."""
    fewest = min(len(study.planned(arm.name)) for arm in study.arms)
    sd, planned = study.assumed_sd, _test(study, len(study.seeds), prior)
    found = None if sd is None else detectable(planned, sd, study.level, study.power)
    return Basis(_test(study, fewest, prior), prior, found)


def _test(study: StudyFacts, seeds: int, prior: VariancePrior | None) -> Design:
    arms, screen = len(study.treatments), study.screen is not None
    return choose_test(seeds, arms, paired=study.paired, screen=screen, borrowed_df=prior.df if prior else 0.0)
