"""False-positive rates of bracketed studies: tuning runs, walk, fit, test seeds at the rate found, test with allowance.

Arms are equal at their own optima. These lie at one place for all (identical arms under several names), or each
anywhere within an octave of its declared rate. A comparison with a diverged test run is not decided.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from coregpt.stats.bracket import tuning_seeds
from coregpt.stats.calibration import curves, tuned
from coregpt.stats.calibration.curves import Curve
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import Row, of_flags
from coregpt.stats.calibration.tuned import Array, Flags

ALPHA = 0.05
_SPREAD = 1.0
_BLOCK = 2_000  # studies at once, for memory's sake


@dataclass(frozen=True)
class Case:
    """Studies of one kind; `same` gives all arms one optimum. `m` is None for the rule's number of tuning seeds."""

    curve: Curve
    arms: int = 2
    n: int = 6
    same: bool = False
    m: int | None = None

    @property
    def name(self) -> str:
        what = "identical arms" if self.same else "own optima"
        few = "" if self.m is None else f", m = {self.m}"
        return f"bracket, {self.curve.name}, {self.arms} arms, {what}, n = {self.n}{few}"


CASES: Sequence[Case] = (
    Case(curves.SMOOTH, same=True),
    Case(curves.SMOOTH),
    Case(curves.SMOOTH, n=30),
    Case(curves.SMOOTH, arms=5, same=True),
    Case(curves.SMOOTH, arms=5),
    Case(curves.FLAT, n=30, same=True, m=2),
    Case(curves.NGPT),
    Case(curves.NGPT, arms=5),
    Case(curves.CLIFF, same=True),
    Case(curves.CLIFF),
    Case(curves.CLIFF, n=30),
    Case(curves.CLIFF, arms=5),
    Case(curves.NEAR_CLIFF),
    Case(curves.GPT),
    Case(curves.GPT, n=30),
    Case(curves.GPT, arms=5),
    Case(curves.ADAMW),
    Case(curves.LION),
    Case(curves.LION, n=30),
    Case(curves.MUON),
    Case(curves.KRON),
)


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """One row per case, `r` studies each."""
    for case in CASES:
        yield of_flags(case.name, "false positives", noise.name, ALPHA, hits(case, noise, r))


def hits(case: Case, noise: Noise, r: int) -> Flags:
    """Which of `r` studies call an arm different from the baseline."""
    sizes = [min(_BLOCK, r - start) for start in range(0, r, _BLOCK)]
    return np.concatenate([_study(case, noise, size) for size in sizes])


def optima(case: Case, noise: Noise, r: int) -> Array:
    """True optima (studies, arms) in octaves from the declared rate."""
    drawn: Array = noise.rng.uniform(-_SPREAD, _SPREAD, (r, 1 if case.same else case.arms))
    return np.broadcast_to(drawn, (r, case.arms))


def _study(case: Case, noise: Noise, r: int) -> Flags:
    true = optima(case, noise, r)
    m = tuning_seeds(case.n) if case.m is None else case.m
    found = tuned.tune(curves.draw_losses(case.curve, noise, true, tuned.GRID, m))
    y = curves.draw_losses(case.curve, noise, true, found.optimum[..., None], case.n)[:, :, 0]
    return tuned.rejects(found, y, ALPHA)
