"""Losses to draw studies from: normal ones, and residuals of real runs."""

from importlib import resources

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CORRELATION = 0.45
"""Share of the variance that the runs of one seed have in common."""


class Noise:
    """Draws losses with standard deviation 1 and mean 0, from the normal or from real residuals."""

    def __init__(self, name: str, rng: np.random.Generator, pool: Array | None = None) -> None:
        self.name, self.rng = name, rng
        self.pool = None if pool is None else (pool - pool.mean()) / pool.std()

    def draw(self, *shape: int) -> Array:
        """Independent values."""
        if self.pool is None:
            return self.rng.normal(size=shape)
        drawn: Array = self.pool[self.rng.integers(0, len(self.pool), shape)]
        return drawn

    def study(self, replicates: int, arms: int, n: int, correlation: float = CORRELATION) -> Array:
        """Losses (replicates, arms, n) whose seeds are shared by all arms."""
        luck = self.draw(replicates, 1, n) * np.sqrt(correlation)
        return luck + self.draw(replicates, arms, n) * np.sqrt(1 - correlation)


def residuals() -> Array:
    """Residuals of real runs about their arm's mean, in nats (provenance in the file's header)."""
    text = resources.files("coregpt.stats").joinpath("residuals.csv").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")][1:]
    return np.array([float(line.split(",")[1]) for line in lines])


def noises(seed: int) -> list[Noise]:
    """Both kinds, each with random numbers of its own."""
    pools = (("normal", None), ("real residuals", residuals()))
    return [Noise(name, np.random.default_rng([seed, len(name)]), pool) for name, pool in pools]
