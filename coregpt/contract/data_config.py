"""What a run is trained on: sources, and how rows are made of them, ordered and mixed."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from coregpt.contract.frozen import Frozen, Share, unused_left_out


def _rising(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if any(later[0] < earlier[0] for earlier, later in pairwise(points)):
        raise ValueError(f"shares of the run must rise, got {[at for at, _ in points]}")
    return points


NotNegative = Annotated[float, Field(ge=0)]
Points = Annotated[tuple[tuple[Share, NotNegative], ...], Field(min_length=1), AfterValidator(_rising)]
Weight = NotNegative | Points
"""A number, or points [share of the run, number] with straight lines between them; of two at one share the later one
counts from there on. Before the first point and behind the last one it stands still."""


def points_of(weight: float | tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """A weight as points."""
    return weight if isinstance(weight, tuple) else ((0.0, weight),)


class Ingredient(Frozen):
    """More training text beside `data.source`."""

    source: str
    """As `data.source`, of the same tokenizer."""
    weight: Weight
    """In proportion to the other weights, `data.weight` among them: the chance of a row to be of this source."""


class DataConfig(Frozen):
    """Which tokens, in which rows and order. It belongs to core, so that no technique can move it."""

    source: str = "pydocs"
    """`pydocs` (made from the interpreter's documentation), `fineweb10B`, or a folder of .bin shards. Losses are
    evaluated on its streams, whatever else is trained on."""
    document_mask: bool = False
    """Attention may not cross a document separator."""
    rows: Literal["contiguous", "documents"] = "contiguous"
    """How training rows are cut: one behind the other, wherever they begin; or each from the beginning of a document,
    filled with the beginnings of the documents that follow. What of a document does not fit is left out."""
    max_document: PositiveInt | None = None
    """With `rows: documents`: so many tokens of each document at most, its separator among them."""
    order: Literal["shuffled", "same", "stream"] = "shuffled"
    """Of training rows: shuffled anew in every epoch; shuffled once, and so in every epoch; or as they lie, from a row
    on that the seed chooses."""
    unique_tokens: PositiveInt | None = None
    """Only the first training tokens of each source, so many: what is trained beyond them repeats them."""
    mixture: dict[str, Ingredient] = Field(default_factory=dict)
    """More sources to train on, by any name; each row is drawn from one of them or from `source`."""
    weight: Weight = 1.0
    """Of `source` in the mixture; 0 only evaluates on it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_document is not None and self.rows != "documents":
            raise ValueError("max_document needs rows: documents; contiguous rows know no documents")
        if self.max_document == 1:
            raise ValueError("max_document must be at least 2: a separator and a token of the document, got 1")
        if not self.mixture and self.weight != 1:
            raise ValueError("weight needs a mixture: without one all rows are of `source`")
        for share, total in self._totals():
            if not total > 0:
                raise ValueError(f"the weights of source and mixture are all 0 at {share:g} of the run")
        return self

    def weights(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """Points of the weight of `source`, called "", and of every ingredient, in the order of names."""
        others = {name: points_of(self.mixture[name].weight) for name in sorted(self.mixture)}
        return {"": points_of(self.weight), **others}

    def _totals(self) -> list[tuple[float, float]]:
        """The sum of all weights wherever one of them bends: it cannot be 0 elsewhere unless it is at both ends."""
        lines = list(self.weights().values())
        shares = sorted({0.0, 1.0, *(at for points in lines for at, _ in points)})
        return [(share, sum(weight_at(points, share) for points in lines)) for share in shares]

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not used is left out, so that options which came later changed no older digest of a study."""
        return unused_left_out(
            self, handler(self), "rows", "max_document", "order", "unique_tokens", "mixture", "weight"
        )


def weight_at(points: tuple[tuple[float, float], ...], share: float) -> float:
    """A weight at a share of the run."""
    behind = [point for point in points if point[0] <= share]
    ahead = [point for point in points if point[0] > share]
    if not behind or not ahead:
        return behind[-1][1] if behind else ahead[0][1]
    (x0, y0), (x1, y1) = behind[-1], ahead[0]
    return y0 + (y1 - y0) * ((share - x0) / (x1 - x0))
