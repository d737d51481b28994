"""Keep matrices at their peak learning rate; the `lr` schedule moves all others.

With f the `lr` schedule, a step of a matrix is along U / f at the rate f lr, which is lr all along; so is its decay.
Where f is zero matrices stand still with all others.

Suggested settings: none to set; a scheduler that drives AdamW alone beside a Muon at 0.02 is NanoPoor's.
When it hurts / conflicts: without a cooldown matrices end noisy, and the last losses show it.
Source: NanoPoor.
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.own_rate import OwnDecay, OwnRate

from coregpt.api import Clock, DecayRule, ParamGroup, Plugin, RunView, Schedule, UpdateRule, hookimpl

DIAL = "constant_matrices"
Answers = list[dict[str, Schedule]]


class ConstantMatrices(Plugin):
    """Goes around whoever owns `lr`, and wraps the rules of matrices."""

    after: ClassVar[tuple[str, ...]] = (
        "batch_schedule",
        "cautious_wd",
        "hyperball",
        "muon",
        "normuon",
        "radial_brake",
        "stage_rates",
        "uw_floor",
        "wd_schedule",
    )

    @hookimpl(wrapper=True)
    def add_schedules(self, run: RunView) -> Generator[None, Answers, Answers]:
        answers = yield
        schedules = [answer["lr"] for answer in answers if "lr" in answer]

        def inverse(clock: Clock) -> float:
            f = float(schedules[0](clock)) if schedules else 1.0
            return 1 / f if f else 0.0

        return [*answers, {DIAL: inverse}]

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return OwnRate(rule, DIAL) if group.role == "matrix" else rule

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        rule = yield
        return OwnDecay(rule, DIAL, places=True) if group.role == "matrix" else rule
