"""False-positive rates of what has a vectorised form."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from coregpt.stats.calibration import batch
from coregpt.stats.calibration.batch import Array, Flags
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import Row, of_flags
from coregpt.stats.looks.sequential import Looks
from coregpt.stats.power import EQUIVALENCE_LEVEL

ALPHA = 0.01
_GAIN = 1.3  # what futility is held against, in standard deviations of one run


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """One row per test, `r` studies each."""
    for name, nominal, hits in _rates(noise, r):
        yield of_flags(name, "false positives", noise.name, nominal, hits)


def _rates(noise: Noise, r: int) -> Iterator[tuple[str, float, Flags]]:
    for n in (5, 10, 20):
        yield f"paired t, n = {n}", ALPHA, batch.paired_p(noise.study(r, 2, n)) < ALPHA
    for n in (3, 5, 10):
        yield f"Welch t, n = {n}", ALPHA, batch.welch_p(noise.draw(r, n), noise.draw(r, n)) < ALPHA
    for arms, n in ((3, 3), (6, 3), (6, 5), (11, 5)):
        hits = np.asarray(batch.dunnett_rejects(noise.study(r, arms, n), ALPHA).any(1))
        yield f"blocked Dunnett, {arms} arms, n = {n}", ALPHA, hits
    y = noise.study(r, 5, 8)
    smallest: Array = batch.t_p(y[:, :1] - y[:, 1:]).min(1)
    yield "paired t + Holm, 5 arms, n = 8", ALPHA, smallest < ALPHA / 4
    yield "sign-flip, n = 8", ALPHA, batch.sign_flip_p(batch.difference(noise.study(r, 2, 8))) < ALPHA
    for n in (3, 5, 20):
        below: Array = stats.t.cdf(batch.t_of(noise.draw(r, n)), n - 1)
        yield f"target test, n = {n}", ALPHA, below < ALPHA
    yield from _repeated(noise, r)
    yield from _equivalence(noise, r)


def _repeated(noise: Noise, r: int) -> Iterator[tuple[str, float, Flags]]:
    d = batch.difference(noise.study(r, 2, 12))
    for spending in ("pocock", "obrien_fleming"):
        yield f"3 looks, {spending}", ALPHA, batch.looks(d, Looks((4, 8, 12), ALPHA, spending)).rejected
    plan, without = (Looks((4, 8, 12, 16), ALPHA, "pocock", gain) for gain in (_GAIN, None))
    d = batch.difference(noise.study(r, 2, 16))
    yield "4 looks that may give up", ALPHA, batch.looks(d, plan).rejected
    found, all_the_way = batch.looks(d + _GAIN, plan), batch.looks(d + _GAIN, without)
    yield "4 looks give up a true gain", plan.beta, found.futile
    yield "power that giving up costs", plan.beta, all_the_way.rejected & ~found.rejected
    d = batch.difference(noise.study(r // 2, 2, 100))
    yield "e-value, any time up to 100", ALPHA, batch.e_value_crosses(d, ALPHA)


def _equivalence(noise: Noise, r: int) -> Iterator[tuple[str, float, Flags]]:
    margin = 1.0
    d = batch.difference(noise.study(r, 2, 8)) + margin
    se = d.std(1, ddof=1) / np.sqrt(8)
    worse: Array = np.maximum(stats.t.cdf((d.mean(1) - margin) / se, 7), stats.t.sf((d.mean(1) + margin) / se, 7))
    yield "equivalence at the margin, n = 8", EQUIVALENCE_LEVEL, worse < EQUIVALENCE_LEVEL
