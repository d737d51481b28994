"""What arms were matched on."""

from pathlib import Path
from typing import Any

from coregpt.lab.designs.match import matched_on
from coregpt.lab.study.outline import Plan
from coregpt.report.reading.collector import Collector


class Match(Collector):
    """Its name; what it came to stands among the facts of each arm."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"match": matched_on(plan.study) or ""}
