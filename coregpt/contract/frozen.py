"""The base of every configuration object."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, as an option: from 0 to 1."""


class Frozen(BaseModel):
    """Base of every configuration object: immutable, no unknown keys, documented fields."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )


def unused_left_out(config: Frozen, dumped: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A dump without those of its fields that have their default."""
    fields = type(config).model_fields
    unused = {name for name in names if getattr(config, name) == fields[name].get_default(call_default_factory=True)}
    return {key: value for key, value in dumped.items() if key not in unused}
