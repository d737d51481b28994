"""Multiply all learning rates by one number: those of AdamW, of Muon, and whatever else moves parameters.

Suggested settings: 2 (record 11, beside its skips), 3 (record 2 over GPT-2's AdamW; NanoPoor).
When it hurts / conflicts: decoupled weight decay is multiplied by the learning rate, so it grows as well. It is a
setting, not an idea: a comparison at one learning rate that favours it says that the rate was too low.
Source: modded-nanogpt records 2 and 11.
"""

from typing import Any, ClassVar

from pydantic import PositiveFloat

from coregpt.api import ParamRule, Plugin, hookimpl


class LrMultiplier(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"factor": 1.0}

    factor: PositiveFloat = 2.0
    """Multiplies every learning rate."""

    @hookimpl
    def add_param_rules(self) -> ParamRule:
        return ParamRule(lr=self.factor)
