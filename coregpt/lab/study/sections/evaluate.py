"""What a study file says of outcomes that are measured beside its metric."""

import itertools
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Bands = bool | list[PositiveInt]
"""Whether tokens are sorted into bands, or where each band after the first begins."""
BANDS = ("position", "frequency", "document")


class HellaSwagFile(BaseModel):
    """Questions in a local file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    file: str = Field(min_length=1)
    """By path beside the study's file or where the command is called, or `hellaswag` as it was fetched."""
    questions: PositiveInt | None = None
    """Only the first so many."""


class BooksFile(BaseModel):
    """Long documents, and the windows that are cut out of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str = Field(min_length=1)
    """A file or folder, by path beside the study's file or where the command is called, or `pg19` as it was fetched."""
    length: PositiveInt
    """Tokens of a window; a multiple of every arm's context."""
    rows: PositiveInt = 1
    """Windows of every book."""
    books: PositiveInt | None = None
    """Only the first so many that are long enough."""
    bucket: PositiveInt = 128
    """How many places in the window are one outcome."""


class EvaluateFile(BaseModel):
    """The key `evaluate` of a study file: secondary outcomes, of the final weights of every run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    position: Bands = False
    """Loss by how many tokens stand before in the row."""
    frequency: Bands = False
    """Loss by how often the target stands in the training tokens."""
    document: Bands = False
    """Loss by the length of the target's document in tokens."""
    calibration: bool = False
    """Expected calibration error."""
    longer: list[Annotated[int, Field(ge=2)]] = []
    """Loss past the trained context, in rows so many times longer."""
    hellaswag: HellaSwagFile | None = None
    books: BooksFile | None = None
    """Loss in long documents, by the tokens that stand before."""
    tokens: PositiveInt | None = None
    """How many tokens of the stream; as many as the metric is of where it is left out."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        asked = self.model_dump(exclude={"tokens"})
        if not any(asked.values()):
            raise ValueError(f"expected one of {', '.join(asked)}")
        for name in (*BANDS, "longer"):
            rising = asked[name] if isinstance(asked[name], list) else []
            if any(low >= high for low, high in itertools.pairwise(rising)):
                raise ValueError(f"{name}: expected rising numbers, got {rising}")
        return self
