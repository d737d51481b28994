"""Levels for claims that are tested one after another: LOND, which keeps the false discovery rate of all of them.

The k-th claim is tested at alpha gamma_k (D + 1), where D of the claims before it were confirmed and the gamma_k sum to
1. The share of false claims among the confirmed ones is then at most alpha on average, for independent p-values and
under positive dependence; with e-values (reject if E >= 1 / level) under any dependence. The chance of any false claim
is at most alpha while nothing true was found.
Sources: Javanmard & Montanari 2015, arXiv:1502.06197 (LOND); Zrnic, Ramdas & Jordan 2021 (positive dependence);
Xu & Ramdas 2024 (e-values).
"""

from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy import special

from coregpt.contract.errors import ConfigError

POWER = 1.6
"""How fast levels fall: slow enough that the tenth claim can still be confirmed, fast enough that they have a sum."""

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@overload
def gamma(k: int) -> float: ...
@overload
def gamma(k: Counts) -> Array: ...
def gamma(k: int | Counts) -> float | Array:
    """Share of alpha that the k-th claim gets, k from 1 on: k^-1.6 / zeta(1.6). All of them sum to 1."""
    if np.any(np.asarray(k) < 1):
        raise ConfigError(f"claims are counted from 1, got {k}")
    share = np.asarray(k, dtype=np.float64) ** -POWER / float(special.zeta(POWER))
    return float(share) if share.ndim == 0 else share


@overload
def level(alpha: float, k: int, confirmed: int) -> float: ...
@overload
def level(alpha: float, k: Counts, confirmed: Counts) -> Array: ...
def level(alpha: float, k: int | Counts, confirmed: int | Counts) -> float | Array:
    """At which the k-th claim is tested when `confirmed` of those before it were confirmed; always below alpha."""
    if np.any(np.asarray(confirmed) < 0) or np.any(np.asarray(confirmed) >= np.asarray(k)):
        raise ConfigError(f"of {np.asarray(k) - 1} claims before this one, {confirmed} cannot have been confirmed")
    found = alpha * np.asarray(gamma(k)) * (np.asarray(confirmed) + 1.0)
    return float(found) if found.ndim == 0 else found
