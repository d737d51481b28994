"""Whether a study's budget is enough for what it is expected to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coregpt.lab.designs.design import Allowance
from coregpt.lab.execute.allowance import Meter, allowance_of
from coregpt.lab.planning.forecast import Forecast
from coregpt.lab.progress import duration
from coregpt.lab.study.outline import Plan

Stage = tuple[Plan, Forecast | None]
"""A plan, and what its missing runs will take; None if none is missing."""


@dataclass(frozen=True)
class Affordable:
    """What is declared, what is spent, and what is still to come, in hours on one GPU or core."""

    allowance: Allowance
    spent: float
    """Counted only where hours or money are limited."""
    coming: float
    too_slow: dict[str, float]
    """Arms whose runs would take longer than each may, and the seconds that they would take."""

    @property
    def fits(self) -> bool:
        most = self.allowance.hours
        return not self.too_slow and (most is None or self.spent + self.coming <= most or not self.coming)

    def lines(self) -> list[str]:
        """For people; nothing without a budget."""
        most, price = self.allowance.hours, self.allowance.price
        lines = []
        if most is not None and math.isnan(self.coming):
            lines.append(f"Budget: {self.spent:.3g} of {most:.3g} h are spent; what the rest takes is not known.")
        elif most is not None:
            money = f", {(self.spent + self.coming) * price:.2f} of {most * price:.2f} USD" if price else ""
            lines.append(f"Budget: about {self.spent + self.coming:.3g} of {most:.3g} h{money}: {self._said(most)}.")
        for arm, seconds in self.too_slow.items():
            limit = duration(self.allowance.seconds_per_run or 0)
            lines.append(
                f"Budget: a run of {arm} takes about {duration(seconds)}, and every run has {limit}: it would fail."
            )
        return lines

    def _said(self, most: float) -> str:
        if self.spent + self.coming <= most or not self.coming:
            return "it fits"
        return "it does not fit; the study would stop before its end, without a report"


def affordable(stages: Sequence[Stage], store: Path) -> Affordable:
    """Of a study, its trials before it. Forecasts are estimates, and so is this."""
    plans = [made for made, _ in stages]
    allowance = allowance_of(plans[-1].study)
    spent = Meter(plans, store).hours if allowance.hours is not None else 0.0
    coming = sum(
        share.seconds / 3600 * expected.processors
        for _, expected in stages
        if expected
        for share in expected.arms.values()
    )
    most = allowance.seconds_per_run
    each = {
        arm: share.seconds / share.runs for _, expected in stages if expected for arm, share in expected.arms.items()
    }
    return Affordable(allowance, spent, coming, {arm: s for arm, s in each.items() if most is not None and s > most})
