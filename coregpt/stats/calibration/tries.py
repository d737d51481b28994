"""Trying again until it works: ten studies against one baseline at the chain's levels, and seeds picked by their luck.

Both show what a rule is for. Ten studies of an idea without effect, each at its own level, find it "better" in a fifth
of cases; at the levels of their chain they do so in at most alpha. No level helps a study on those seeds where a known
baseline was worst, since an idea without effect is better there: such a line promises nothing, and such a study is
exploratory.
"""

from collections.abc import Iterator

import numpy as np

from coregpt.stats.calibration import batch
from coregpt.stats.calibration.batch import Array, Flags
from coregpt.stats.calibration.chains import ALPHA, confirm
from coregpt.stats.calibration.noise import CORRELATION, Noise
from coregpt.stats.calibration.rows import Row, of_flags

TRIES, SEEDS = 10, 6
KNOWN, PICKED = 30, 10
CORRELATIONS = (0.1, CORRELATION)


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """Any false "better" in `r` chains of ten tries; and how often one without a chain, and one on picked seeds."""
    fresh, shared = tries(noise, r)
    for how, y in (("fresh seeds", fresh), ("one baseline's runs", shared)):
        name = f"{TRIES} tries on {how}, any false better"
        yield of_flags(f"{name}, levels of the chain", "false positives", noise.name, ALPHA, any_better(*y, chain=True))
        yield of_flags(f"{name}, each at its own level", "no promise", noise.name, ALPHA, any_better(*y, chain=False))
    for correlation in CORRELATIONS:
        name = f"{PICKED} worst of {KNOWN} seeds of a known baseline, correlation {correlation:g}, false better"
        gain, p = picked(noise, r, correlation)
        yield of_flags(name, "no promise", noise.name, ALPHA, (gain > 0) & (p < ALPHA))


def tries(noise: Noise, chains: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Gain and p (chains, tries) of ideas that do nothing: each try on seeds of its own, and all on the same runs."""
    y = noise.study(chains * TRIES, 2, SEEDS)
    fresh = batch.difference(y).reshape(chains, TRIES, SEEDS)
    y = noise.study(chains, 1 + TRIES, SEEDS)
    shared = y[:, :1] - y[:, 1:]
    return (fresh.mean(-1), batch.t_p(fresh)), (shared.mean(-1), batch.t_p(shared))


def any_better(gain: Array, p: Array, *, chain: bool) -> Flags:
    """Whether any try of a chain says "better" (chains,), at the chain's levels or each at alpha."""
    better = confirm(np.ones(p.shape, dtype=bool), gain, p, ALPHA) if chain else (gain > 0) & (p < ALPHA)
    return np.asarray(better.any(-1))


def picked(noise: Noise, r: int, correlation: float) -> tuple[Array, Array]:
    """Gain and p (studies,) of an arm that does nothing, on the seeds where the baseline is known to be worst."""
    y = noise.study(r, 2, KNOWN, correlation)
    worst = np.argsort(y[:, 0], axis=-1)[:, -PICKED:]
    d = np.take_along_axis(batch.difference(y), worst, -1)
    return d.mean(-1), batch.t_p(d)
