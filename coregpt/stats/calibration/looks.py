"""False-positive rates of planned looks at 0.05, in enough studies to tell an exact boundary from a nearly exact one.

Boundaries of the normal score, carried over to Student's t by equal tails, reject equal arms in 5.43% of studies with
looks after 4, 8 and 12 pairs where they promise 5%. That is seen only in far more studies than other lines need.
"""

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np

from coregpt.stats.calibration import batch
from coregpt.stats.calibration.batch import Flags
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import Row, of_flags
from coregpt.stats.design import Spending
from coregpt.stats.looks.sequential import Looks

ALPHA = 0.05
SIZES: Sequence[tuple[int, ...]] = ((4, 8, 12), (5, 10, 15), (4, 6, 8, 10, 12), (4, 5, 6, 7))
_STUDIES = 20  # for each of the other lines' studies
_BLOCK = 50_000  # studies at once, for memory's sake


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """One row per plan and spending function, 20 `r` studies each; both functions see the same studies."""
    for sizes in SIZES:
        plans = [Looks(sizes, ALPHA, spending) for spending in get_args(Spending)]
        for plan, hits in zip(plans, _rejected(noise, plans, _STUDIES * r), strict=True):
            name = f"looks after {', '.join(map(str, sizes))} at {ALPHA:g}, {plan.spending}"
            yield of_flags(name, "false positives", noise.name, ALPHA, hits)


def _rejected(noise: Noise, plans: Sequence[Looks], studies: int) -> Flags:
    """Which studies of equal arms each plan rejects (plans, studies)."""
    found = np.zeros((len(plans), studies), dtype=bool)
    for start in range(0, studies, _BLOCK):
        block = slice(start, min(start + _BLOCK, studies))
        d = batch.difference(noise.study(block.stop - start, 2, plans[0].sizes[-1]))
        for hits, plan in zip(found, plans, strict=True):
            hits[block] = batch.looks(d, plan).rejected
    return found
