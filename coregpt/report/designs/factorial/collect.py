"""How arms were made from techniques."""

from pathlib import Path
from typing import Any

from coregpt.lab.designs.modes import mode_of
from coregpt.lab.study.outline import Plan
from coregpt.report.reading.collector import Collector


class Factorial(Collector):
    """The mode, which may be another than factorial, and its techniques."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"mode": mode_of(plan.study) or "", "techniques": plan.study.techniques}
