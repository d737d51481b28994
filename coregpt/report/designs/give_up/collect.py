"""Below which chance a screen gives its arm up."""

from pathlib import Path
from typing import Any

from coregpt.lab.study.outline import Plan
from coregpt.report.reading.collector import Collector


class GiveUp(Collector):
    """As declared."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"give_up": plan.study.criterion.give_up}
