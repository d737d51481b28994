"""The losses that an abort is decided by."""

from pathlib import Path
from typing import Any

from coregpt.lab.designs import abort
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import PauseFacts
from coregpt.report.reading.collector import Collector


class Abort(Collector):
    """Where arms paused, and how they stood there."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        if plan.study.criterion.abort is None:
            return {}
        losses = {arm: tuple(each) for arm, each in abort.losses_at_pause(plan, store).items()}
        steps = plan.costs[plan.baseline.name].steps
        ends = tuple(abort.ends(plan, store))
        return {"pause": PauseFacts(step=abort.pause_step(plan), steps=steps, losses=losses, ends=ends)}
