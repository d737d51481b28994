"""What all facts of a report are: frozen data that says nothing it was not told."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]
"""From a lower to an upper end."""
Stream = Literal["held_out", "select"]
"""Tokens that no run trains on: verdicts read `held_out` and nothing else does, `select` is for what is chosen."""


def metric_on(stream: Stream | None, metric: str) -> str:
    """What the loss on a stream is called where that on `held_out` is called `metric`."""
    return "select_loss" if stream == "select" else metric


class Facts(BaseModel):
    """Frozen base: unknown keys are errors, and floats may be NaN or infinite where a run diverged."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without_nothing(plain: dict[str, Any], *names: str) -> dict[str, Any]:
    """Plain data without fields that say nothing and that older reports do not have: their bytes stay what they are."""
    return {key: value for key, value in plain.items() if key not in names or value is not None}
