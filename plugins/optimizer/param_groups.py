"""Give kinds of parameters settings of their own: learning rate, weight decay, AdamW's betas and epsilon.

A kind is a role: `matrix` (weights inside blocks), `embedding`, `head`, `table`, `gate`, `scalar` (gains, biases and
other vectors and numbers). `lr` and `weight_decay` multiply what the parameter would have: AdamW's are `optim.lr` and
`optim.weight_decay`, those of another update rule are its own. `betas` and `eps` take the place of AdamW's. Without any
kind named, the embedding has three times the rate and scalars do not decay.

Suggested settings: the speedrun's since record 8 have embedding, head and scalars at rates of their own, 0.6, 0.008
and 0.04 or similar, with betas (0.8, 0.95) and eps 1e-10; its optimization track 0.7, 0.004 and 0.015.
When it hurts / conflicts: settings are not an idea. A comparison needs them in every arm, or it compares rates.
What another technique says of the same parameter's rate or decay is multiplied; two that name betas clash.
Source: modded-nanogpt records 8 and 20.
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, model_validator

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl

Decay = Annotated[float, Field(ge=0, lt=1)]


class Group(BaseModel):
    """Settings of one kind; what is not named stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lr: PositiveFloat = 1.0
    """Multiplies the learning rate."""
    weight_decay: NonNegativeFloat = 1.0
    """Multiplies the weight decay."""
    betas: tuple[Decay, Decay] | None = None
    """AdamW's decay of both moments."""
    eps: PositiveFloat | None = None
    """AdamW's epsilon."""


class ParamGroups(Plugin):
    """One rule a parameter."""

    neutral: ClassVar[dict[str, Any] | None] = {"embedding": {"lr": 1.0}}

    matrix: Group | None = None
    """Weights inside blocks."""
    embedding: Group | None = None
    """The token embedding and learned positions."""
    head: Group | None = None
    """The projection to logits."""
    table: Group | None = None
    """Further tables looked up by token."""
    gate: Group | None = None
    """Weights that make a gate."""
    scalar: Group | None = None
    """Gains, biases and other vectors and numbers."""

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: Any) -> Any:
        """No options at all are the ones that the card tells."""
        return given or {"embedding": {"lr": 3.0}, "scalar": {"weight_decay": 0.0}}

    @model_validator(mode="after")
    def _known(self) -> Self:
        if all(getattr(self, kind) is None for kind in type(self).model_fields):
            raise ValueError("names no kind of parameter; expected one of " + ", ".join(type(self).model_fields))
        return self

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        group: Group | None = getattr(self, param.role)
        if group is None:
            return None
        return ParamRule(lr=group.lr, weight_decay=group.weight_decay, betas=group.betas, eps=group.eps)
