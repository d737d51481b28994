"""Let the maps into the MLP start smaller, the later their layer.

Layer l of L: initial W_up (and W_gate of a gated MLP) times 1 - by l / (L - 1).

Suggested settings: by 0.3, as published.
When it hurts / conflicts: a factor of 0.7 on a weight that training moves freely is small beside a learning rate. With
norms on weights (nGPT) it is gone after the first update.
Source: modded-nanogpt's optimization track, records 30 to 46.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl


class DepthScaledFcInit(Plugin):
    """Scales initial values."""

    after: ClassVar[tuple[str, ...]] = ("uniform_init",)
    conflicts: ClassVar[tuple[str, ...]] = ("ngpt",)
    neutral: ClassVar[dict[str, Any] | None] = {"by": 0.0}

    by: Annotated[float, Field(ge=0, le=1)] = 0.3
    """How much smaller the last layer's start is."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        inside = ".mlp." in param.path and param.role == "matrix" and not param.writes
        if not inside or not param.layer:
            return None
        return ParamRule(init=1 - self.by * param.layer / (param.model.depth - 1))
