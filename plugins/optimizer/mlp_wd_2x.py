"""Let the matrices of MLPs decay faster than all others: their weight decay is multiplied by a factor.

Suggested settings: factor 2 (medium track, record 6), with Muon and a decay of its own.
When it hurts / conflicts: nothing where nothing decays. Experts of a mixture lie in the MLP and count as its matrices.
Source: modded-nanogpt medium track, record 6.
"""

from typing import Any, ClassVar

from pydantic import NonNegativeFloat

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl


class MlpWd2x(Plugin):
    neutral: ClassVar[dict[str, Any] | None] = {"factor": 1.0}

    factor: NonNegativeFloat = 2.0
    """Multiplies the weight decay of matrices in MLPs."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        inside = param.role == "matrix" and "mlp" in param.path.split(".")
        return ParamRule(weight_decay=self.factor) if inside else None
