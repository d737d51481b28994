"""Losses that others published, and how ours stand beside them."""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import rankdata

from coregpt.report.catalogue.facts import Catalogued, Effect, Published

PUBLISHED = Path("published") / "optimizers.csv"
"""Under `reports`."""
CORE = "adamw"
"""What the file calls core's own optimizer, which every other is compared with."""
Setting = tuple[str, float]
"""Size of a model, and tokens in multiples of 20 a parameter."""


def published_in(reports: Path) -> tuple[Published, ...]:
    """The committed table; nothing where there is none."""
    path = reports / PUBLISHED
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(Published.model_validate(row) for row in csv.DictReader(lines))


def settings(rows: Sequence[Published]) -> list[Setting]:
    """Sizes and lengths that were published, in the order of the file."""
    return list(dict.fromkeys((row.parameters, row.chinchilla) for row in rows))


def published_gain(rows: Sequence[Published], optimizer: str, at: Setting) -> float | None:
    """How much lower its loss is than AdamW's in the same setting, nats per token."""
    losses = {row.optimizer: row.loss for row in rows if (row.parameters, row.chinchilla) == at}
    core = next((row.optimizer for row in rows if row.technique == CORE), "")
    return losses[core] - losses[optimizer] if {core, optimizer} <= set(losses) else None


def measured(found: Catalogued, report: str) -> dict[str, Effect]:
    """By technique, what one report of the atlas found; only what has a gain."""
    effects = {each.name: effect for each in found.techniques for effect in each.effects if effect.report == report}
    return {name: effect for name, effect in effects.items() if effect.gain is not None}


def agreement(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation and its exact one-sided p: the share of all orders that agree at least as well.

    For at most nine pairs, all orders of which are counted. ValueError with fewer than three.
    """
    if not 3 <= len(one) == len(other) <= 9:
        raise ValueError(f"three to nine pairs expected, not {len(one)} and {len(other)}")
    a, b = rankdata(one), rankdata(other)
    seen = _correlation(a, b)
    orders = list(itertools.permutations(b))
    return seen, sum(_correlation(a, order) >= seen - 1e-12 for order in orders) / len(orders)


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    middle = (len(a) + 1) / 2
    above = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    spread = [sum((x - middle) ** 2 for x in each) for each in (a, b)]
    return above / (spread[0] * spread[1]) ** 0.5 if all(spread) else 0.0
