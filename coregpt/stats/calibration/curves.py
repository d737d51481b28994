"""Losses over learning rates to tune on: shapes of real runs, as constants.

Sources: the curvature (0.014 nats per square octave at the median) and the place of the cliff are those of a public
sweep of 11 optimizers at 130M and 300M parameters (Marin; Wen, Hall, Ma & Liang 2025), whose curves of AdamW, Muon and
Kron at 1 and of Lion at 8 times Chinchilla data follow by name: losses above the best at whole octaves from it. The
laptop's are models of 4 layers and width 128, where half an octave above its best GPT lost 0.18 (0.09 to 0.26).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from coregpt.stats.calibration.noise import Noise

Array = NDArray[np.float64]

_FAR = 30.0
"""Octaves at which an interpolated curve ends."""
CLIFF_SPREAD = 0.1
"""Standard deviation in octaves of where a run diverges."""


@dataclass(frozen=True)
class Curve:
    """Loss above the best against octaves from the optimum; `sigma` is the standard deviation of a run."""

    name: str
    sigma: float
    shape: Callable[[Array], Array]
    diverges: float = np.inf
    """Octaves above the optimum where half the runs diverge."""
    steep_from: float = np.inf
    steep: float = 0.0
    """Nats per octave lost on top from there on, half to one and a half times as much by the luck of the run."""

    def losses(self, distance: Array, luck: Array, rng: np.random.Generator) -> Array:
        """Of runs with this luck (standard deviation 1) at these distances, of a shape that broadcasts to it."""
        distance = np.broadcast_to(distance, luck.shape)
        y = self.shape(distance) + self.sigma * luck
        if self.steep:
            y = y + rng.uniform(0.5, 1.5, luck.shape) * self.steep * np.maximum(0.0, distance - self.steep_from)
        if np.isfinite(self.diverges):
            y = np.where(distance > self.diverges + CLIFF_SPREAD * rng.normal(size=luck.shape), np.inf, y)
        return y


def parabola(curvature: float) -> Callable[[Array], Array]:
    """curvature times the square of the distance."""
    return lambda distance: curvature * distance**2


def through(above_best: dict[float, float]) -> Callable[[Array], Array]:
    """Monotone pieces through losses above the best one, which is at distance 0; parabolas beyond the ends."""
    (low, at_low), (high, at_high) = min(above_best.items()), max(above_best.items())
    points = {-_FAR: at_low * (_FAR / low) ** 2, **above_best, 0.0: 0.0, _FAR: at_high * (_FAR / high) ** 2}
    xs = sorted(points)
    found: Callable[[Array], Array] = PchipInterpolator(xs, [points[x] for x in xs])
    return found


def kinked(curvature: float, slope: float) -> Callable[[Array], Array]:
    """A parabola and, above the optimum, a straight rise on top."""
    return lambda distance: curvature * distance**2 + slope * np.maximum(0.0, distance)


SMOOTH = Curve("smooth", 0.002, parabola(0.014))
FLAT = Curve("flat", 0.002, parabola(0.0002))
CLIFF = Curve("cliff at +1.3", 0.002, parabola(0.014), diverges=1.3)
NEAR_CLIFF = Curve("cliff at +0.6", 0.002, parabola(0.014), diverges=0.6)
NGPT = Curve("nGPT, laptop", 0.035, parabola(0.03))
GPT = Curve("GPT, laptop", 0.035, kinked(0.03, 0.36))
GPT_LUCK = Curve("GPT, laptop, by luck", 0.035, parabola(0.03), steep_from=0.25, steep=0.7)
ADAMW = Curve("AdamW, 130M", 0.002, through({-1.0: 0.0205, 1.0: 0.0090}), diverges=1.5)
LION = Curve("Lion, 130M", 0.002, through({-1.0: 0.0027, 1.0: 0.0578}), diverges=1.5)
MUON = Curve("Muon, 130M", 0.002, through({-1.0: 0.0277, 1.0: 0.0209, 2.0: 0.0711, 3.0: 0.2243}))
KRON = Curve("Kron, 130M", 0.002, through({-2.0: 0.0351, -1.0: 0.0082, 1.0: 0.0211}), diverges=1.5)


def draw_losses(curve: Curve, noise: Noise, optima: Array, rates: Array, seeds: int) -> Array:
    """Losses (studies, arms, rates, seeds) whose seeds share luck over all arms and rates.

    `optima` (studies, arms) and `rates`, which broadcasts to (studies, arms, rates), are in octaves.
    """
    studies, arms = optima.shape
    distance = np.broadcast_to(rates, (studies, arms, rates.shape[-1])) - optima[..., None]
    luck = noise.study(studies, arms * distance.shape[-1], seeds).reshape(*distance.shape, seeds)
    return curve.losses(distance[..., None], luck, noise.rng)
