"""`test.screen`: many arms, of which some are passed on for confirmation and none gets a verdict."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.problems import Problem
from coregpt.stats.design import Design as Test
from coregpt.stats.design import choose_test
from coregpt.stats.power import detectable

FEWEST = 10
"""Arms besides the baseline; fewer get verdicts."""


class Screen(Design):
    """A false discovery rate instead of a level; what it passes on is confirmed on tokens that did not choose it."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("screen") is not None:
            yield "test.screen"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        return study if study.criterion.screen is None else replace(study, reads="select")

    def test_problems(self, file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
        if test.get("screen") is not None and arms - 1 < FEWEST:
            text = f"is for {FEWEST} or more arms besides the baseline, not {arms - 1}; without it they are"
            yield ("screen",), f"{text} tested and get verdicts"

    def test(self, study: Study, sd: float) -> tuple[Test, float | None] | None:
        rate = study.criterion.screen
        if rate is None:
            return None
        design = choose_test(len(study.seeds), len(study.compared) - 1, screen=True)
        return design, detectable(design, sd, rate, study.criterion.power)
