"""Loops: a program tries one idea after another, `coregpt judge` screens each, confirms candidates, moves the baseline.

A screen takes one seed at a time, at most 6, and gives an idea up by `giving_up`; all screens of a loop have the same
seeds, and a baseline keeps the runs that it has there. A candidate is confirmed on 12 seeds that nothing has used, both
arms anew, at the level that its chain has left. A confirmed idea becomes the baseline of what is tried after it, runs
of its screen included, lucky as they are, and the chain goes on: its places and what it confirmed are counted over all
of its baselines. Of 30 ideas, 28 do nothing to whatever they are laid on; a real one is better by 1.5 standard
deviations of a run.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from coregpt.stats import lond
from coregpt.stats.calibration import batch
from coregpt.stats.calibration.batch import Array, Flags
from coregpt.stats.calibration.chains import ALPHA, CONFIRM_SEEDS, SCREEN, SCREEN_SEEDS, Chains
from coregpt.stats.calibration.noise import CORRELATION, Noise
from coregpt.stats.calibration.rows import Row, of_flags, of_shares
from coregpt.stats.lond import Counts
from coregpt.stats.looks import giving_up
from coregpt.stats.looks.giving_up import Screening

EFFECT, LOSER = 1.5, -1.5
LEAST_POWER = 0.8
"""Promised for real ideas of 1.5 standard deviations, 2 among 30; `chains` without giving up finds .88 of 3."""
LOST = 0.01
"""Largest share of such ideas that giving up may keep from being candidates."""
_SCREENS = 10  # single screens for one loop
RULE = Screening(SCREEN_SEEDS, SCREEN)


@dataclass(frozen=True)
class Loop:
    """Loops of one kind: somewhere among the ideas `real` ones; `moves` says that a confirmed one is built on."""

    real: int
    moves: bool = True
    ideas: int = 30
    effect: float = EFFECT

    @property
    def name(self) -> str:
        return f"loop of {self.ideas} ideas, {self.real} real, baseline {'moves' if self.moves else 'stays'}"


LOOPS = (Loop(0), Loop(2), Loop(2, moves=False))


def rows(noise: Noise, r: int) -> Iterator[Row]:
    """`r` loops of each kind, and ten times as many single screens."""
    yield from _screens(noise, _SCREENS * r)
    for loop in LOOPS:
        made = simulate(loop, noise, r)
        if not loop.real:
            yield of_flags(f"{loop.name}, any false", "false positives", noise.name, ALPHA, made.any_false)
            continue
        shares = made.false_share.tolist()
        yield of_shares(f"{loop.name}, false discoveries", "false positives", noise.name, ALPHA, shares)
        yield of_shares(f"{loop.name}, found", "power at least", noise.name, LEAST_POWER, made.found.tolist())


def simulate(loop: Loop, noise: Noise, r: int) -> Chains:
    """`r` loops from the first idea to the last; real ideas are better than any baseline they are laid on."""
    real = noise.rng.permuted(np.broadcast_to(np.arange(loop.ideas) < loop.real, (r, loop.ideas)), axis=1)
    candidate, confirmed = np.zeros(real.shape, dtype=bool), np.zeros(real.shape, dtype=bool)
    k = np.zeros(r, dtype=np.int64)
    own, luck = np.sqrt(1 - CORRELATION), np.sqrt(CORRELATION) * noise.draw(r, SCREEN_SEEDS)
    baseline = luck + own * noise.draw(r, SCREEN_SEEDS)
    level = np.zeros(r)  # the baseline's true loss
    for idea in range(loop.ideas):
        truth = level - loop.effect * real[:, idea]
        losses = truth[:, None] + luck + own * noise.draw(r, SCREEN_SEEDS)
        candidate[:, idea] = tested = giving_up.ends(RULE, baseline - losses).candidate
        k += tested
        before = confirmed.sum(1)
        found = tested & _confirms(noise, level - truth, k, before)
        confirmed[:, idea] = found
        if loop.moves:
            baseline, level = np.where(found[:, None], losses, baseline), np.where(found, truth, level)
    return Chains(real, candidate, confirmed)


def _confirms(noise: Noise, gain: Array, k: Counts, before: Counts) -> Flags:
    """Whether each loop's candidate, better by `gain`, is confirmed as the k-th with `before` of them confirmed."""
    d = batch.difference(noise.study(len(gain), 2, CONFIRM_SEEDS)) + gain[:, None]
    level = lond.level(ALPHA, np.maximum(k, 1), np.minimum(before, np.maximum(k, 1) - 1))
    return np.asarray((d.mean(1) > 0) & (batch.t_p(d) < level))


def _screens(noise: Noise, r: int) -> Iterator[Row]:
    """One idea each: what giving up loses, and how many seeds are used."""
    d = batch.difference(noise.study(r, 2, SCREEN_SEEDS))
    name = f"screen, {SCREEN_SEEDS} seeds one by one"
    null, real = giving_up.ends(RULE, d), giving_up.ends(RULE, d + EFFECT)
    yield of_flags(f"{name}, a candidate by luck", "false positives", noise.name, SCREEN / 2, null.candidate)
    lost = (batch.t_of(d + EFFECT) > RULE.critical) & ~real.candidate
    yield of_flags(f"{name}, a find of {EFFECT:g} sd given up", "false positives", noise.name, LOST, lost)
    used = {
        "no effect": null,
        f"a loss of {-LOSER:g} sd": giving_up.ends(RULE, d + LOSER),
        f"a find of {EFFECT:g} sd": real,
    }
    for what, found in used.items():
        share = (found.seeds / SCREEN_SEEDS).tolist()
        yield of_shares(f"{name}, share of seeds used, {what}", "no promise", noise.name, 1.0, share)
