"""Places: words of a parameter's path, joined by dots, as `mlp.down` of `blocks.3.mlp.down.weight`."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

Place = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]


def stands(path: str, place: str) -> bool:
    """Whether the words of `place` are in `path`, in a row."""
    return f".{place}." in f".{path}."


def longest(path: str, places: Iterable[str]) -> str | None:
    """Of the places that `path` has, the one of most words, of equally long ones the first; None for none."""
    return max((place for place in places if stands(path, place)), key=lambda place: place.count("."), default=None)
