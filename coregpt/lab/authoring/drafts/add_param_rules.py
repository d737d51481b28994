"""Give the embedding a learning rate of its own.

Suggested settings: 2 to 10.
When it hurts / conflicts: multipliers of several techniques multiply.
Source: name the paper your idea comes from; replace this card by yours.
"""

from typing import Any, ClassVar

from pydantic import PositiveFloat

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl


class Draft(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"lr": 1.0}

    lr: PositiveFloat = 3.0
    """Multiplies the learning rate of the role `embedding`."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        return ParamRule(lr=self.lr) if param.role == "embedding" else None
