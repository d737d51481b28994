"""The atlas parted: what was compared with one model on one processor in one precision stands together.

Gains over different models have no order, nor have those of different machines.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from coregpt.report.catalogue.facts import Catalogued, Effect, Finding
from coregpt.report.drawing.numbers import listing

Key = tuple[str, bool, tuple[str, ...], str]


@dataclass(frozen=True)
class Company:
    """Comparisons with one and the same model, on one kind of machine."""

    baseline: str
    left_out: bool
    techniques: tuple[str, ...]
    """The baseline's."""
    machine: str
    rows: list[Finding]
    number: int = 1
    """Among those whose title is the same but for what the model has."""

    @property
    def title(self) -> str:
        done = f"{'Left out of' if self.left_out else 'Added to'} {self.baseline}, on {self.machine}"
        return done if self.number == 1 else f"{done} ({self.number})"

    @property
    def words(self) -> str:
        it = listing([*self.techniques]) or "no technique"
        if self.left_out:
            return (
                f"{self.baseline}: {it}. Each was left out of it in turn. A positive number means that the technique "
                "is missed: the loss is higher without it, by so much."
            )
        return f"{self.baseline}: {it}. A positive gain means that the loss is lower with the technique added."

    @property
    def number_is(self) -> str:
        """The head of its column of numbers."""
        return "missed by" if self.left_out else "gain"

    @property
    def picture(self) -> str:
        """The name of its file."""
        said = re.sub(r"[^a-z0-9]+", "-", f"{self.baseline} on {self.machine}".lower()).strip("-")
        end = "" if self.number == 1 else f"-{self.number}"
        return f"atlas-{'without-' if self.left_out else ''}{said}{end}.svg"


def companies(rows: Iterable[Finding], found: Catalogued) -> list[Company]:
    """The largest first."""
    techniques = {family.report: family.techniques for family in found.families}
    parted: dict[Key, list[Finding]] = {}
    for row in rows:
        parted.setdefault(_key(row.effect, techniques.get(row.effect.report, ())), []).append(row)
    made = sorted((Company(*key, each) for key, each in parted.items()), key=lambda it: (-len(it.rows), it.title))
    return list(_numbered(made))


def _key(effect: Effect, techniques: tuple[str, ...]) -> Key:
    return effect.baseline, effect.left_out, techniques, effect.machine


def _numbered(made: list[Company]) -> Iterator[Company]:
    seen: dict[str, int] = {}
    for each in made:
        seen[each.picture] = seen.get(each.picture, 0) + 1
        yield replace(each, number=seen[each.picture])
