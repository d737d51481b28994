"""Do the procedures keep their promises? Simulation of false-positive rates, power and coverage.

Studies are drawn from normal noise and from residuals of real runs; everything follows from the seed.
"""

from collections.abc import Iterator

from coregpt.stats.calibration import bracket, chains, intervals, looks, loops, power, rates, single, tries
from coregpt.stats.calibration.noise import noises
from coregpt.stats.calibration.rows import Row

FULL, QUICK = 20_000, 2_000
_PER_CHAIN = 10  # one chain of 30 ideas for this many studies
_SLOW = 4  # procedures without a vectorised form get one study for this many of the others


def calibrate(replicates: int, seed: int = 0) -> Iterator[Row]:
    """Measure every procedure; rows come as they are done. The same seed gives the same rows."""
    for noise in noises(seed):
        yield from rates.rows(noise, replicates)
        yield from single.rows(noise, replicates // _SLOW)
        yield from power.rows(noise, replicates)
        yield from intervals.rows(noise, replicates)
        yield from bracket.rows(noise, replicates)
        yield from chains.rows(noise, replicates // _PER_CHAIN)
        yield from loops.rows(noise, replicates // _PER_CHAIN)
        yield from tries.rows(noise, replicates)
        yield from looks.rows(noise, replicates)
