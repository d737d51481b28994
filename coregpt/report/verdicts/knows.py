"""Is an arm better, or does it know the text that it is judged on?

Every run is also measured on a second text, which no study, setting or technique names. What makes a better model shows
on both; what was made in sight of the published text (a table of its n-grams, a choice that was made by it) on one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from coregpt.report.drawing.numbers import signed
from coregpt.report.facts.inputs import BITS, StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.runs import RunFacts

LEFT = 0.5
"""Texts differ, and so do gains on them; an honest gain keeps more than this share of itself on another one."""
LEVEL = 0.005
"""One-sided, for the part of the gain that is not there on the second text."""
DIGITS = 3


@dataclass(frozen=True)
class Gains:
    """Of an arm over the baseline, seed by seed, on both texts."""

    held_out: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    sealed: "np.ndarray[tuple[int], np.dtype[np.float64]]"

    @property
    def only_there(self) -> bool:
        """Whether so much of the gain is on the published text alone that no chance explains it."""
        lost = self.held_out - self.sealed
        n = len(lost)
        if n < 2 or self.held_out.mean() <= 0 or self.sealed.mean() >= LEFT * self.held_out.mean():
            return False
        spread = lost.std(ddof=1) / np.sqrt(n)
        return bool(lost.mean() > stats.t.isf(LEVEL, n - 1) * spread)


def gains(study: StudyFacts, runs: Sequence[RunFacts], arm: str) -> Gains:
    """Of the seeds that both have on both texts."""
    ends = {(run.arm, run.seed): (run.value, run.sealed) for run in runs if run.status == "finished"}
    pairs = [
        (base, own)
        for (name, seed), base in ends.items()
        if name == study.baseline and (own := ends.get((arm, seed))) and None not in (*base, *own)
    ]
    made = np.array(pairs, dtype=np.float64).reshape(-1, 2, 2)
    return Gains(*(made[:, 0, text] - made[:, 1, text] for text in (0, 1)))


def knowing(study: StudyFacts, runs: Sequence[RunFacts], compared: Iterable[Comparison]) -> list[Comparison]:
    """The comparisons, those of arms that know the text marked. A difference below the margin is nothing to know."""
    found = []
    for c in compared:
        both = gains(study, runs, c.arm)
        marked = both.only_there and both.held_out.mean() - both.sealed.mean() > study.margin
        found.append(c.model_copy(update={"knows": float(both.sealed.mean())}) if marked else c)
    return found


def told(c: Comparison) -> str:
    """A sentence that begins with a space; nothing where the arm knows nothing."""
    if c.knows is None:
        return ""
    return (
        f" It knows the validation text: on a second text, which no run is named, its gain is "
        f"{signed(c.knows, DIGITS)}."
    )


def knows_note(study: StudyFacts) -> list[str]:
    """What cannot be told of small data."""
    if study.data.sealed_tokens != 0:
        return []
    why = "The data have no room for a second text"
    if study.declaration.get("test", {}).get("metric") == BITS:
        why = "Losses are of one text, counted in bytes, and of no second one"
    return [f"{why} beside the validation text: an arm that knows the validation text would look better here."]
