"""Measured power against the formula that `coregpt plan` prints."""

from collections.abc import Iterator

from coregpt.stats.calibration import batch
from coregpt.stats.calibration.noise import CORRELATION, Noise
from coregpt.stats.calibration.rates import ALPHA
from coregpt.stats.calibration.rows import Row, of_flags
from coregpt.stats.design import choose_test
from coregpt.stats.power import difference_sd, power_to_detect


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """One row per design, `r` studies each."""
    paired_sd = difference_sd(1.0, CORRELATION)
    for n, effect in ((5, 2.4), (10, 1.3), (20, 0.9)):
        expected = power_to_detect(effect, paired_sd, choose_test(n, 1), ALPHA)
        hits = batch.paired_p(noise.study(r, 2, n) + batch.shift(2, effect)) < ALPHA
        yield of_flags(f"paired t, n = {n}", "power", noise.name, expected, hits)
    for arms, n, effect in ((6, 3, 2.2), (6, 5, 1.6)):
        expected = power_to_detect(effect, paired_sd, choose_test(n, arms - 1), ALPHA)
        hits = batch.dunnett_rejects(noise.study(r, arms, n) + batch.shift(arms, effect), ALPHA)[:, 0]
        yield of_flags(f"blocked Dunnett, {arms} arms, n = {n}", "power", noise.name, expected, hits)
    effect = 0.002 / 0.0011
    expected = power_to_detect(effect, difference_sd(1.0), choose_test(11, 1, paired=False), ALPHA)
    hits = batch.welch_p(noise.draw(r, 11), noise.draw(r, 11) - effect) < ALPHA
    yield of_flags("Welch t, n = 11", "power", noise.name, expected, hits)
