"""How something grows: the exponent of a power law fitted through measurements."""

from collections.abc import Sequence

import numpy as np


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost over log size, least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
