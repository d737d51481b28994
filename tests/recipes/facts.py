"""What is known of the reference recipes: counted by building the authors' code, read in it, or stated by them."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Fact:
    recipe: str
    item: str
    value: str
    unit: str
    how: str
    source: str

    @property
    def numbers(self) -> tuple[float, ...]:
        """Every number in it, in order."""
        return tuple(float(each) for each in NUMBER.findall(self.value))


def facts_of(recipe: str) -> list[Fact]:
    """In the order of the file; that something is not known is no fact."""
    with (HERE / "facts.csv").open(newline="", encoding="utf-8") as file:
        found = [Fact(**row) for row in csv.DictReader(file) if row["recipe"] == recipe]
    return [fact for fact in found if fact.value != "not stated"]


def recipes() -> list[str]:
    """Every recipe that something is known of."""
    with (HERE / "facts.csv").open(newline="", encoding="utf-8") as file:
        return list(dict.fromkeys(row["recipe"] for row in csv.DictReader(file)))
