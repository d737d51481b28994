"""Deciding an arm before all of its seeds are run: planned looks, or an e-value after every seed. One interface.

Looks may stop for futility too. An arm with a diverged run has no gain to look at: it is not stopped early, and at
the last look its ranks are tested with the alpha left for that look, which the union bound allows.
Sources: see `sequential` and `anytime`; Jennison & Turnbull 1997 (repeated p-values).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from coregpt.stats.contrasts import worst_rank
from coregpt.stats.design import Design, Spending
from coregpt.stats.distributions import t_level
from coregpt.stats.looks import student_looks
from coregpt.stats.looks.anytime import confidence_sequence, e_value, e_value_of_t
from coregpt.stats.looks.sequential import Decision, LookResult, Looks, look, spent

Vector = NDArray[np.float64]

HOPELESS = 1e6
"""In units of the sd: no gain is larger."""
FIRST_ANYTIME = 3
"""Fewer pairs have no e-value worth looking at."""
_LARGEST_P = 0.98  # above, a repeated p-value is called 1


@dataclass(frozen=True)
class Anytime:
    """An e-value after every pair from the third on, up to `cap` pairs; two-sided `alpha`."""

    cap: int
    alpha: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of pairs at which the arm is judged."""
        return tuple(range(FIRST_ANYTIME, self.cap + 1))


Rule = Looks | Anytime


@dataclass(frozen=True)
class Course:
    """The looks at one arm so far, and how many pairs the next one needs: 0 once the arm is decided."""

    looks: tuple[LookResult, ...]
    needs: int

    @property
    def decision(self) -> Decision:
        return self.looks[-1].decision if self.looks else "continue"


@dataclass(frozen=True)
class Expected:
    """What a rule comes to on average: pairs per arm, runs of all arms and the baseline, and shares of the arms."""

    pairs: float
    runs: float
    rejected: float
    futile: float


def make_rule(
    sizes: Sequence[int],
    alpha: float,
    arms: int,
    *,
    anytime: bool = False,
    spending: Spending = "pocock",
    gain: float | None = None,
    power: float = 0.9,
) -> Rule:
    """The rule for each of `arms` arms, at `alpha` / arms (Bonferroni); `power` is kept against stopping for `gain`."""
    if anytime:
        return Anytime(max(sizes), alpha / arms)
    return Looks(tuple(sizes), alpha / arms, spending, gain, round(1 - power, 12))


def judge(rule: Rule, d: Vector) -> LookResult:
    """Look at the paired gains `d` (n,) of one arm; n must be a size of the rule.

    A pair with a diverged run is inf (the arm's diverged: -inf), or NaN if both did.
    """
    if not np.isfinite(d).all():
        return _judge_ranks(rule, d)
    if isinstance(rule, Looks):
        return look(d, rule)
    e, n = e_value(d), len(d)
    decision: Decision = "reject" if e >= 1 / rule.alpha else "accept" if n == rule.cap else "continue"
    return LookResult(decision, n, float(d.mean()), min(1.0, 1 / e), rule.alpha, confidence_sequence(d, rule.alpha))


def replay(rule: Rule, baseline: Vector, arm: Vector) -> Course:
    """Every look that final values in seed order allow, up to the one that decides; NaN where there is no outcome."""
    looks: list[LookResult] = []
    known = ~(np.isnan(baseline) | np.isnan(arm))
    with np.errstate(invalid="ignore"):
        d = baseline - arm
    for size in rule.sizes:
        if len(d) < size or not known[:size].all():
            return Course(tuple(looks), size)
        looks.append(judge(rule, d[:size]))
        if looks[-1].decision != "continue":
            break
    return Course(tuple(looks), 0)


def repeated_p(rule: Rule, d: Vector) -> float:
    """The smallest alpha whose rule would have rejected at the look at `d`: below `rule.alpha` where this one does."""
    found = judge(rule, d)
    if not np.isfinite(d).all():
        return min(1.0, found.p * rule.alpha / found.level) if found.level else 1.0
    if isinstance(rule, Anytime):
        return found.p
    k, n = rule.sizes.index(len(d)), len(d)
    if found.p in (0.0, 1.0):
        return found.p
    t = t_level(found.p / 2, n - 1)

    def gap(log_alpha: float) -> float:
        return float(np.log(_boundary(rule, k, float(np.exp(min(log_alpha, 0.0))))) - np.log(t))

    near = np.log(min(found.p * rule.alpha / found.level, _LARGEST_P))
    if near > np.log(0.2) and gap(np.log(_LARGEST_P)) >= 0:
        return 1.0
    root = optimize.root_scalar(gap, x0=near, x1=near - 0.1, method="secant", xtol=1e-3).root
    return float(np.exp(min(root, 0.0)))


def plain_interval(rule: Rule, d: Vector, confidence: float) -> tuple[float, float]:
    """The repeated interval of the mean of `d`, for one arm, valid at every look together."""
    return judge(replace(rule, alpha=1 - confidence), d).interval


def can_reject(rule: Rule) -> bool:
    """False if no data at all could make the rule reject: an e-value of few pairs is bounded."""
    return isinstance(rule, Looks) or e_value(np.ones(rule.cap)) >= 1 / rule.alpha


def fewest_anytime(alpha: float, arms: int) -> int:
    """The smallest cap at which a rule without planned looks can reject."""
    cap = FIRST_ANYTIME
    while not can_reject(Anytime(cap, alpha / arms)):
        cap += 1
    return cap


def stopping_design(rule: Rule, arms: int) -> Design:
    """What the report and the plan say of a rule."""
    if isinstance(rule, Looks):
        kind = {"pocock": "Pocock", "obrien_fleming": "O'Brien-Fleming"}[rule.spending]
        when = f"after {', '.join(map(str, rule.sizes))} seeds, {kind}-type spending"
    else:
        when = f"after every seed from {FIRST_ANYTIME} on, {rule.cap} at most"
    share = f", alpha divided by {arms} arms (Bonferroni)" if arms > 1 else ""
    method: Literal["looks", "anytime"] = "looks" if isinstance(rule, Looks) else "anytime"
    return Design(method, rule.sizes[-1], arms, rule.sizes[-1] - 1, f"declared: each arm is judged {when}{share}")


def expect(rule: Rule, effect: float, sd: float, arms: int = 1, studies: int = 4000, seed: int = 0) -> Expected:
    """Simulated studies in which every arm has the true gain `effect`; `sd` is that of a paired difference.

    Arms share the baseline's runs, so their gains correlate by 1/2.
    """
    rng, sizes = np.random.default_rng(seed), np.array(rule.sizes)
    shared = rng.normal(size=(studies, sizes[-1]))
    ends, rejected, futile = [], 0.0, 0.0
    for _ in range(arms):
        d = effect / sd + (shared + rng.normal(size=shared.shape)) / np.sqrt(2)
        crossed, gave_up = _stops(rule, d, sizes, sd)
        stop = crossed | gave_up
        stop[:, -1] = True
        first = stop.argmax(axis=1)
        ends.append(sizes[first])
        rows = np.arange(studies)
        rejected += float(crossed[rows, first].mean()) / arms
        futile += float((gave_up & ~crossed)[rows, first].mean()) / arms
    pairs = np.array(ends)
    return Expected(float(pairs.mean()), float((pairs.sum(axis=0) + pairs.max(axis=0)).mean()), rejected, futile)


def detectable_gain(rule: Rule, sd: float, power: float) -> float:
    """The true gain that the rule finds with probability `power`, by simulation; infinite if it can find none."""

    def lacking(effect: float) -> float:
        return expect(rule, effect, sd).rejected - power

    high = sd
    while lacking(high) < 0:
        high *= 2
        if high > HOPELESS * sd:  # so few looks, or so low a level, that no gain is ever found
            return math.inf
    return float(optimize.brentq(lacking, 0.0, high, xtol=1e-3 * sd))


def _judge_ranks(rule: Rule, d: Vector) -> LookResult:
    """No early stop; at the last look the exact signed-rank test, at what the looks before have left of alpha."""
    n, last, level = len(d), len(d) == rule.sizes[-1], 0.0
    if isinstance(rule, Looks):
        before = [0.0, *rule.fractions][-2]
        left = rule.alpha - 2 * spent(before, rule.alpha / 2, rule.spending) if before else rule.alpha
        level = left if last else 0.0
    _, p = worst_rank(np.where(np.isnan(d), 0.0, d), np.zeros(n), paired=True)
    decision: Decision = "continue" if not last else "reject" if p < level else "accept"
    return LookResult(decision, n, np.nan, p, level, (-np.inf, np.inf))


def _boundary(rule: Looks, k: int, alpha: float) -> float:
    """The |t| of look k, were the plan made at another alpha."""
    total = [0.0, *(spent(fraction, alpha / 2, rule.spending) for fraction in rule.fractions[: k + 1])]
    shares = tuple(after - before for before, after in pairwise(total))
    return student_looks.boundaries(rule.sizes[: k + 1], shares)[-1]


def _stops(rule: Rule, d: Vector, sizes: NDArray[np.int_], sd: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Per study and look: rejected, and futile. `d` (studies, pairs) is in units of `sd`."""
    sums, squares = np.cumsum(d, axis=1)[:, sizes - 1], np.cumsum(d**2, axis=1)[:, sizes - 1]
    mean = sums / sizes
    se = np.sqrt((squares - sums * mean) / (sizes - 1) / sizes)
    t = mean / se
    if isinstance(rule, Anytime):
        return e_value_of_t(t, sizes) >= 1 / rule.alpha, np.zeros(t.shape, dtype=bool)
    futile = np.zeros(t.shape, dtype=bool)
    if rule.gain is not None and rule.futility is not None:
        futile = (mean - rule.gain / sd) / se < -np.array(rule.futility)
        futile[:, -1] = False
    return np.abs(t) > np.array(rule.boundaries), futile
