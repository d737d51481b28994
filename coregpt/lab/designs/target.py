"""`test.target`: how soon each arm reaches a value of the metric. The lab only has to train every run to its end."""

from collections.abc import Iterator, Mapping
from typing import Any

from coregpt.lab.designs.design import Design
from coregpt.lab.study.declaration import StudyFile


class Target(Design):
    """All that is asked of it is what it goes with."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("target") is not None:
            yield "test.target"
