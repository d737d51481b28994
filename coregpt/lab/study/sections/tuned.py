"""What a study file says of settings that a report has found."""

from pydantic import BaseModel, ConfigDict, Field


class TunedFile(BaseModel):
    """The key `tuned` of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    report: str = Field(alias="from", min_length=1)
    """A report with a bracket, by path beside the file; for a scale that is not the default one that of its folder
    with the scale's name behind it, as reports are named."""
