"""What a study file says of the chain of studies that it belongs to."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Stage = Literal["screen"]
"""A study that looks for candidates and calls nothing better."""
ChainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class EarlierFile(BaseModel):
    """The key `earlier`: claims on this baseline that no ledger at hand has, and that count all the same.

    None of them counts as confirmed, whatever it said: that would raise the level of this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    claims: PositiveInt
    """Studies that could have called an arm better."""
    why: Annotated[str, Field(min_length=1)]
    """What they were, in a sentence for the reader of the report."""
    scale: str | None = None
    """Where they were made; all of the study's where it is left out."""

    def declared(self) -> dict[str, Any]:
        """As plain data."""
        return self.model_dump(mode="json", exclude={"scale"})


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
