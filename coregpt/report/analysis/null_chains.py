"""Whole chains of studies, through the report: screens by its words, confirmations at their levels, the chain's word.

Where `stats.calibration.chains` simulates many chains at once, this makes the reports that a reader sees of each idea.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from coregpt.report.analysis.null_studies import ALPHA, as_runs, made_up
from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.chain.words import confirmed
from coregpt.report.facts.chain import ChainFacts
from coregpt.report.facts.model import Comparison
from coregpt.stats import lond
from coregpt.stats.calibration.chains import CONFIRM_SEEDS, LEAST_POWER, SCREEN, SCREEN_SEEDS
from coregpt.stats.calibration.noise import Noise, noises
from coregpt.stats.calibration.rows import Row, of_flags, of_shares

Array = NDArray[np.float64]

_PER_CHAIN = 1000  # one whole chain of 30 ideas for this many vectorised studies
_IDEAS, _REAL, _EFFECT = 30, 3, 1.5


def null_chains(replicates: int, seed: int = 0) -> Iterator[Row]:
    """Any false claim of chains of 30 ideas without effect; false discoveries and power with 3 real ones."""
    chains = max(2, replicates // _PER_CHAIN)
    for noise in noises(seed):
        null = [_chain(noise, [False] * _IDEAS) for _ in range(chains)]
        hits = np.array([any(found) for found in null])
        yield of_flags("report, chain of 30 ideas, any false", "false positives", noise.name, ALPHA, hits)
        kinds = [noise.rng.permutation(np.arange(_IDEAS) < _REAL) for _ in range(chains)]
        pairs = [(np.array(_chain(noise, real.tolist())), real) for real in kinds]
        false = [float((found & ~real).sum() / max(1, found.sum())) for found, real in pairs]
        name = "report, chain of 30 ideas, 3 real"
        yield of_shares(f"{name}, false discoveries", "false positives", noise.name, ALPHA, false)
        power = [float((found & real).sum() / _REAL) for found, real in pairs]
        yield of_shares(f"{name}, found", "power at least", noise.name, LEAST_POWER, power)


def _chain(noise: Noise, real: Sequence[bool]) -> list[bool]:
    """Which ideas a chain confirms, in the order in which they are tried."""
    screens = noise.study(1, 1 + len(real), SCREEN_SEEDS)[0]
    found: list[bool] = []
    k = 0
    for idea, effect in enumerate(_EFFECT * np.array(real), 1):
        seen = _reported(screens[[0, idea]], effect, SCREEN, ChainFacts(chain="b", stage="screen", alpha=ALPHA))
        if seen.verdict != "candidate":
            found.append(False)
            continue
        k += 1
        level = lond.level(ALPHA, k, sum(found))
        facts = ChainFacts(
            chain="b",
            stage="confirmation",
            source="screen",
            alpha=ALPHA,
            k=k,
            confirmed=sum(found),
            level=level,
            confirmations=k,
        )
        found.append(_confirms(noise.study(1, 2, CONFIRM_SEEDS)[0], effect, level, facts))
    return found


def _confirms(y: Array, effect: float, level: float, chain: ChainFacts) -> bool:
    study = made_up(2, y.shape[1], paired=True).model_copy(update={"alpha": level, "chain": chain})
    return confirmed(study, _reported(y, effect, level, chain))


def _reported(y: Array, effect: float, level: float, chain: ChainFacts) -> Comparison:
    """What a report says of losses (2, seeds) of a baseline and an idea that lowers them by `effect`, in sd."""
    stage = "screen" if chain.stage == "screen" else None
    study = made_up(2, y.shape[1], paired=True).model_copy(update={"alpha": level, "stage": stage, "chain": chain})
    (found,) = summarise(study, as_runs(y - np.array([[0.0], [effect]]))).comparisons
    return found
