"""What a study file says of the chain of studies that it belongs to."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Stage = Literal["screen"]
"""A study that looks for candidates and calls nothing better."""
ChainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ConfirmsFile(BaseModel):
    """The key `confirms`, as `coregpt confirm` writes it: whose candidate is tested on fresh seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    study: str
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of that study's preregistration."""
    arm: str = ""
    """Empty where all of its arms run again, as `coregpt verify` does."""

    def declared(self) -> dict[str, Any]:
        """As plain data."""
        return self.model_dump(mode="json")


class FollowsFile(BaseModel):
    """The key `follows`, as `coregpt judge` writes it: whose confirmed arm this study's baseline is.

    Whoever builds on what a chain has confirmed goes on in that chain, at the levels that it has left.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    study: str
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    arm: str

    def declared(self) -> dict[str, Any]:
        """As plain data."""
        return self.model_dump(mode="json")
