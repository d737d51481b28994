"""What a study file says of a bracket."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class BracketFile(BaseModel):
    """The key `bracket` of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    setting: str = "optim.lr"
    """What moves by factors of 2 and of its root; with `optim.lr` every learning rate of an arm moves along."""
    seeds: Annotated[int, Field(ge=2, le=100)] | list[Annotated[int, Field(ge=0, lt=2**63)]] | None = None
    """Seeds of tuning, none of the test's: how many for each rate, or which; a third of the test's if left out."""
