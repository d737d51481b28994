"""Which arm is the baseline with fewer tokens."""

from pathlib import Path
from typing import Any

from coregpt.lab.study.outline import Plan
from coregpt.report.reading.collector import Collector


class ShortBaseline(Collector):
    """Its name; its runs are collected as those of any arm."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"yardstick": next((arm.name for arm in plan.study.arms if not arm.compared), "")}
