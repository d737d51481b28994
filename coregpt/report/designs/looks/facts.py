"""What a plan says of early decisions, and the losses that an abort is decided by, as facts."""

from pathlib import Path
from typing import Any

from coregpt.lab.designs import abort
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import PauseFacts, RuleFacts


def early_decisions(plan: Plan, store: Path) -> dict[str, Any]:
    """The study's `rule` and `pause`; None for what it does not use."""
    return {"rule": _rule(plan.study), "pause": _pause(plan, store)}


def _rule(study: Study) -> RuleFacts | None:
    test = study.criterion
    if not test.looks and not test.anytime:
        return None
    sizes, spending = test.looks or (len(study.seeds),), test.spending or "pocock"
    return RuleFacts(sizes=sizes, anytime=test.anytime, spending=spending, futility=test.futility)


def _pause(plan: Plan, store: Path) -> PauseFacts | None:
    if plan.study.criterion.abort is None:
        return None
    losses = {arm: tuple(each) for arm, each in abort.losses_at_pause(plan, store).items()}
    return PauseFacts(step=abort.pause_step(plan), steps=plan.costs[plan.baseline.name].steps, losses=losses)
