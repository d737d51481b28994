"""What a study file says it may spend."""

from typing import Self

from pydantic import BaseModel, ConfigDict, PositiveFloat, model_validator


class BudgetFile(BaseModel):
    """The key `budget` of a study file. Hours are those of training, on one GPU, or on one core."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seconds_per_run: PositiveFloat | None = None
    """Of training. A run of any arm that takes longer counts as failed."""
    hours: PositiveFloat | None = None
    """Of all runs together, those of tuning included; then the study stops, and can be gone on with."""
    usd: PositiveFloat | None = None
    """The same as money, at `usd_per_gpu_hour`."""
    usd_per_gpu_hour: PositiveFloat | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.usd is None) != (self.usd_per_gpu_hour is None):
            raise ValueError("usd and usd_per_gpu_hour go together: money is hours times a price")
        if self.seconds_per_run is None and self.hours is None and self.usd is None:
            raise ValueError("expected one of seconds_per_run, hours, usd")
        return self
