"""The variance that a declared history lends."""

from pathlib import Path
from typing import Any

from coregpt.lab.designs.history import borrowed
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import PriorFacts
from coregpt.report.reading.collector import Collector


class History(Collector):
    """What was read from earlier reports when the study was declared."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        found = borrowed(plan.study)
        if found is None:
            return {}
        return {"prior": PriorFacts(variance=found.prior.variance, df=found.df, files=dict(found.files))}
