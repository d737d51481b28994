"""`python -m benchmarks.tuning_rules`: which ways of choosing a learning rate keep a test honest, simulated.

Two arms that are equal at their own best learning rates, which lie anywhere within an octave of the declared ones. Each
is tuned on seeds of its own, then tested on fresh seeds at the rate found, paired t-test at 0.05: how often does the
test call equal arms different? Rules that take a point or a parabola tune on 2 seeds; the bracket on a third of the
test seeds, at least 2. Curves and noise are those of `stats.calibration`, normal noise. An allowance that "trusts the
fit" takes the fitted curve for the true one; the bracket's grows where the losses miss the fit by more than noise.
"Price" is the median standard error with the tuning allowance over that without; "lost" is what the rate found loses
against the best one, in units of 0.001 nats. A diverged test run leaves a study undecided, which counts as no verdict.
Writes `benchmarks/results/tuning_rules.{json,md}`.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from unittest import mock

import numpy as np

from benchmarks.pages import publish, table
from coregpt.stats.bracket import tuning_seeds
from coregpt.stats.calibration import curves, tuned
from coregpt.stats.calibration.bracket import ALPHA, Case, optima
from coregpt.stats.calibration.curves import Curve
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.tuned import GRID, Array, Found

STUDIES, DRY, BLOCK = 10_000, 200, 2_000
TEST_SEEDS = (6, 30)
CURVES = (
    curves.SMOOTH,
    curves.CLIFF,
    curves.NGPT,
    curves.GPT,
    curves.GPT_LUCK,
    curves.ADAMW,
    curves.LION,
    curves.MUON,
    curves.KRON,
)


def best_point(losses: Array, *, halves: bool) -> Found:
    """The best rate of the walk, of whole octaves or of all."""
    means = losses.mean(-1)
    tried = tuned.walk(means)
    known = np.where(tried & (halves | (GRID % 1 == 0)), means, np.inf)
    return _found(losses, tried, GRID[known.argmin(-1)])


def three_points(losses: Array, *, step: int) -> Found:
    """The parabola through the best octave and the places `step` half octaves beside it, within half an octave."""
    means = losses.mean(-1)
    tried = tuned.walk(means)
    best = tuned.ends(means, tried)[0]
    places = np.clip(best[..., None] + np.array([-step, 0, step]), 0, len(GRID) - 1)
    low, middle, high = np.moveaxis(np.take_along_axis(means, places, -1), -1, 0)
    bend = low - 2 * middle + high
    fits = np.isfinite(bend) & (bend > 0)
    tilt = np.where(fits, low, 0.0) - np.where(fits, high, 0.0)
    offset = tilt / np.where(fits, bend, 1.0) * step / 4
    return _found(losses, tried, GRID[best] + np.clip(offset, -0.5, 0.5))


def _found(losses: Array, tried: tuned.Flags, optimum: Array) -> Found:
    nothing = np.zeros(optimum.shape)
    everything = np.ones(optimum.shape, dtype=bool)
    seeds = np.full(losses.shape[1], losses.shape[-1])
    return Found(optimum, everything, nothing, tried.sum(-1), nothing + np.inf, seeds)


def trusting(losses: Array) -> Found:
    """The bracket with a covariance that takes the fitted curve for the true one."""
    with mock.patch.object(tuned, "_ratio", lambda misfit, left: np.ones_like(misfit)):
        return tuned.tune(losses)


@dataclass(frozen=True)
class Rule:
    """A way to a learning rate; `m` tuning seeds, None for a third of the test seeds."""

    name: str
    tune: Callable[[Array], Found]
    m: int | None = 2
    allow: bool = True


RULES = (
    Rule("best of an octave grid", lambda losses: best_point(losses, halves=False)),
    Rule("best of a half-octave grid", lambda losses: best_point(losses, halves=True)),
    Rule("parabola through octave neighbours", lambda losses: three_points(losses, step=2)),
    Rule("parabola through half-octave neighbours", lambda losses: three_points(losses, step=1)),
    Rule("bracket, 2 tuning seeds, no allowance", tuned.tune, allow=False),
    Rule("bracket, no allowance", tuned.tune, m=None, allow=False),
    Rule("bracket, allowance that trusts the fit", trusting, m=None),
    Rule("bracket", tuned.tune, m=None),
)


@dataclass(frozen=True)
class Measured:
    """One rule on one curve."""

    rule: str
    curve: str
    n: int
    false_rate: float
    price: float
    lost: float
    rates: float


def measure(rule: Rule, curve: Curve, n: int, studies: int) -> Measured:
    """The same studies for every rule with as many tuning seeds."""
    noise = Noise("normal", np.random.default_rng(0))
    parts = [_block(rule, curve, n, noise, min(BLOCK, studies - start)) for start in range(0, studies, BLOCK)]
    hits, price, lost, rates = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Measured(
        rule.name,
        curve.name,
        n,
        float(hits.mean()),
        float(np.nanmedian(price)),
        float(lost[np.isfinite(lost)].mean()),
        float(rates.mean()),
    )


def _block(rule: Rule, curve: Curve, n: int, noise: Noise, studies: int) -> tuple[Array, Array, Array, Array]:
    true = optima(Case(curve), noise, studies)
    found = rule.tune(curves.draw_losses(curve, noise, true, GRID, rule.m or tuning_seeds(n)))
    y = curves.draw_losses(curve, noise, true, found.optimum[..., None], n)[:, :, 0]
    hits = tuned.rejects(found, y, ALPHA, allow=rule.allow).astype(np.float64)
    price = tuned.price(found, y)[:, 0] if rule.allow else np.ones(studies)
    distance = found.optimum - true
    lost = curve.losses(distance, np.zeros(distance.shape), noise.rng).ravel()
    return hits, price, lost, found.rates.ravel().astype(np.float64)


def _rows(found: Sequence[Measured], cell: Callable[[Measured, Measured], str]) -> Iterator[list[str]]:
    by = {(each.rule, each.curve, each.n): each for each in found}
    for rule in dict.fromkeys(each.rule for each in found):
        yield [rule, *(cell(*(by[rule, curve.name, n] for n in TEST_SEEDS)) for curve in CURVES)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning_rules", description="Rules of tuning.")
    parser.add_argument("--studies", type=int, default=STUDIES, help="simulated studies for each number")
    parser.add_argument("--dry", action="store_true", help=f"{DRY} studies for each number, and write nothing")
    options = parser.parse_args(argv)
    studies = DRY if options.dry else options.studies
    found = [measure(rule, curve, n, studies) for rule in RULES for curve in CURVES for n in TEST_SEEDS]
    header = "|".join(["rule", *(curve.name for curve in CURVES)])
    few, many = TEST_SEEDS
    lines = ["# Choosing a learning rate for a test", "", *(__doc__ or "").strip().split("\n")[2:], ""]
    lines += [f"False verdicts at {ALPHA} with {few} (and {many}) test seeds, {studies:,} studies each:", ""]
    lines += table(header, list(_rows(found, lambda a, b: f"{a.false_rate:.3f} ({b.false_rate:.3f})")))
    lines += ["", "Price:", ""]
    brackets = [each for each in found if each.rule in [rule.name for rule in RULES[-2:]]]
    lines += table(header, list(_rows(brackets, lambda a, b: f"{a.price:.2f} ({b.price:.2f})")))
    lines += ["", "Lost:", ""]
    lines += table(header, list(_rows(found, lambda a, b: f"{1e3 * a.lost:.2g} ({1e3 * b.lost:.2g})")))
    rates = np.mean([each.rates for each in brackets])
    lines += ["", f"The bracket tries {rates:.1f} rates an arm on average."]
    if options.dry:
        print("\n".join(lines))
    else:
        publish("tuning_rules", lines, {"studies": studies, "alpha": ALPHA, "cases": [asdict(each) for each in found]})


if __name__ == "__main__":
    main()
