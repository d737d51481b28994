"""The value of the metric to reach."""

from pathlib import Path
from typing import Any

from coregpt.lab.study.outline import Plan
from coregpt.report.reading.collector import Collector


class Target(Collector):
    """As declared."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"target": plan.study.criterion.target}
