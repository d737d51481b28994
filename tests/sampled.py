"""Of the sweeps over all techniques, the part that is tested each time; `python -m pytest -m slow` tests the rest.

Which part follows from the sources of the techniques and of what they run on: an edit there draws another one, and it
is the same on every machine. A technique that is not as `plugins/sha256.txt` has it is in every part.
"""

import hashlib
import random
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from coregpt.lab.study.code.shipped import digest
from coregpt.lab.study.registry import Catalogue

ROOT = Path(__file__).parent.parent
DRAWN_BY = ("plugins", "coregpt/contract", "coregpt/engine", "coregpt/lab/laws")
"""What may break a law for one technique and not for others."""


@cache
def seed() -> str:
    files = sorted(path for folder in DRAWN_BY for path in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()


@cache
def edited() -> frozenset[str]:
    """Techniques that have changed since they were listed, or that import what has."""
    catalogue = Catalogue()
    return frozenset(name for name in catalogue.names() if not catalogue.shipped(name))


@cache
def _order(sweep: str) -> dict[str, int]:
    names = Catalogue().names()
    drawn = random.Random(seed() + sweep).sample(names, len(names))
    return {name: place for place, name in enumerate(drawn)}


def now(name: str, sweep: str, parts: int, part: int = 0) -> bool:
    """Whether a technique is in one of `parts` equal parts of a sweep. All of them together are the whole."""
    return _order(sweep)[name] % parts == part % parts or name in edited()


def each(sweep: str, parts: int, names: Iterable[str]) -> list[Any]:
    """Parameters of a test of every technique: one part of them, and the rest with `-m slow`."""
    return [sooner_or_later((name,), now(name, sweep, parts), name) for name in names]


def sooner_or_later(values: tuple[Any, ...], soon: bool, name: str) -> Any:
    """A case of each time, or one for `-m slow`."""
    return pytest.param(*values, marks=() if soon else pytest.mark.slow, id=name)


def halves(sweep: str, parts: int) -> Callable[..., Any]:
    """A test of many techniques at once, `chosen`: of one part of them, and with `-m slow` of the others."""
    names = Catalogue().names()
    soon = [name for name in names if now(name, sweep, parts)]
    later = [name for name in names if name not in soon]
    cases = [pytest.param(soon, id="sample"), pytest.param(later, id="rest", marks=pytest.mark.slow)]
    return pytest.mark.parametrize("chosen", cases)
