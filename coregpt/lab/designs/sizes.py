"""`sizes`: one question at several sizes, each a study of its own, declared together with the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Outline
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.whereabouts import where
from coregpt.lab.study.yamlfile import Key

FEWEST = 3
"""Two sizes give a difference and no trend."""


class Sizes(Design):
    """Settings laid over base and scale, smallest size first."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.sizes:
            yield "sizes"

    def file_problems(self, file: StudyFile) -> Iterator[Problem]:
        if file.sizes and len(file.sizes) < FEWEST:
            yield ("sizes",), f"a trend needs at least {FEWEST} sizes, smallest first, got {len(file.sizes)}"
        for name in file.sizes:
            if not name or not name.replace("-", "").replace("_", "").isalnum():
                yield ("sizes", name), "a size's name becomes part of a folder's; use letters, digits, '-' and '_'"
            if name in file.scales:
                yield ("sizes", name), "is also the name of a scale; their reports would be in one folder"

    def members(self, file: StudyFile) -> dict[str, tuple[Key, dict[str, Any]]]:
        return {name: (("sizes", name), settings or {}) for name, settings in file.sizes.items()}

    def declare(self, file: StudyFile) -> dict[str, Any]:
        return {"sizes": file.sizes} if file.sizes else {}

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        return replace(study, designs={**study.designs, "size": study.member}) if file.sizes else study

    def alike(self, family: Sequence[Study]) -> Iterator[Problem]:
        """Sizes that come to the same settings."""
        for i, study in enumerate(family):
            for other in family[:i]:
                if [arm.settings() for arm in study.arms] == [arm.settings() for arm in other.arms]:
                    yield ("sizes", study.member), f"is the same as '{other.member}': every resolved setting is equal"

    def settle_family(self, outlines: Sequence[Outline]) -> None:
        """Sizes must grow, and stay one comparison."""
        counts = [(made.study, made.costs[made.baseline.name].parameters) for made in outlines]
        for (smaller, few), (larger, many) in pairwise(counts):
            if many <= few:
                raise ConfigError(
                    f"{where(larger, 'sizes', larger.member)}: has {many:,} parameters, '{smaller.member}' before it "
                    f"{few:,}; list sizes from the smallest to the largest"
                )
