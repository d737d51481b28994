"""`python -m benchmarks.cost_of_a_verdict`: training runs until a verdict, against the field's usual design.

The field: a fixed number of independent seeds per arm and Welch's test. Ours: pairs by seed, a look after every 4 of
them, Pocock-type spending with Student's boundaries, giving up when a gain of the wanted size is ruled out
(`stats.sequential`). Both for one arm against one baseline, with the smallest design of the wanted power; noise is
resampled from residuals of real runs. Designs are chosen on one set of simulated studies and measured on another.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from coregpt.stats.calibration import batch
from coregpt.stats.calibration.noise import CORRELATION, Noise, residuals
from coregpt.stats.design import choose_test
from coregpt.stats.looks.sequential import Looks
from coregpt.stats.power import difference_sd, power_to_detect

RESULTS = Path(__file__).parent / "results"
EFFECT, ALPHA, POWER = 0.001, 0.01, 0.9
EVERY, MOST = 4, 80  # pairs between looks, and in the largest design
STUDIES = 20_000
BETAS = (0.1, 0.15, 0.2)
LEVELS = (0.014, 0.018)


@dataclass(frozen=True)
class Design:
    """One design, measured; runs count both arms. `most` is its largest number of runs, `level` the nominal alpha."""

    name: str
    correlation: float
    most: int
    level: float
    beta: float | None
    false_positives: float
    power: float
    runs_null: float
    runs_effect: float

    @property
    def runs(self) -> float:
        """Mean over studies half of which compare arms that do not differ, half arms that differ by the effect."""
        return (self.runs_null + self.runs_effect) / 2


class Studies:
    """Simulated losses in units of their standard deviation, and the effect in the same unit."""

    def __init__(self, seed: int) -> None:
        pool = residuals()
        self.noise = Noise("real residuals", np.random.default_rng(seed), pool)
        self.effect = EFFECT / float(pool.std())
        self.gains = {r: batch.difference(self.noise.study(STUDIES, 2, MOST, r)) for r in (0.0, CORRELATION)}
        self.losses = self.noise.draw(2, STUDIES, MOST)

    def field(self, n: int) -> Design:
        """Welch's test of `n` independent runs per arm."""
        x, y = self.losses[:, :, :n]
        rates = [float((batch.welch_p(x, y - shift) < ALPHA).mean()) for shift in (0.0, self.effect)]
        return Design("field: Welch, fixed n", 0.0, 2 * n, ALPHA, None, rates[0], rates[1], 2 * n, 2 * n)

    def looks(self, name: str, correlation: float, n: int, level: float, beta: float) -> Design:
        """Looks after every few of up to `n` pairs. Only verdicts "better" count as power."""
        plan = Looks(tuple(range(EVERY, n + 1, EVERY)), level, "pocock", self.effect, beta)
        null, effect = (batch.looks(self.gains[correlation] + shift, plan) for shift in (0.0, self.effect))
        power = float((effect.rejected & (effect.sign > 0)).mean())
        runs = [2 * float(ends.pairs.mean()) for ends in (null, effect)]
        return Design(name, correlation, 2 * n, level, beta, float(null.rejected.mean()), power, *runs)


def smallest(designs: Iterator[Design]) -> Design | None:
    """The first design with the wanted power."""
    return next((design for design in designs if design.power >= POWER), None)


def sizes(effect: float, correlation: float, level: float) -> Iterator[int]:
    """Numbers of pairs to try; one t-test needs no more than looks do, and fewer pairs than it needs are skipped."""
    for n in range(2 * EVERY, MOST + 1, EVERY):
        if power_to_detect(effect, difference_sd(1.0, correlation), choose_test(n, 1), level) > POWER - 0.02:
            yield n


def choose(studies: Studies, name: str, correlation: float, levels: tuple[float, ...], most_false: float) -> Design:
    """The plan with the fewest mean runs among smallest designs whose false positives do not exceed `most_false`."""
    found = [
        smallest(studies.looks(name, correlation, n, level, beta) for n in sizes(studies.effect, correlation, level))
        for level in levels
        for beta in BETAS
    ]
    allowed = [design for design in found if design is not None and design.false_positives <= most_false]
    return min(allowed, key=lambda design: design.runs)


def compare() -> list[Design]:
    """The field's design; then ours with and without seed correlation, as shipped and at the field's error."""
    choosing, measuring = Studies(0), Studies(1)
    field = smallest(choosing.field(n) for n in range(3, MOST + 1))
    assert field is not None
    chosen = [measuring.field(field.most // 2)]
    for correlation in (CORRELATION, 0.0):
        for name, levels in (("looks, as shipped", (ALPHA,)), ("looks, at the field's error", (ALPHA, *LEVELS))):
            plan = choose(choosing, name, correlation, levels, max(ALPHA, field.false_positives))
            assert plan.beta is not None
            chosen.append(measuring.looks(name, correlation, plan.most // 2, plan.level, plan.beta))
    return chosen


def lines(designs: list[Design]) -> list[str]:
    error = float(np.sqrt(ALPHA * (1 - ALPHA) / STUDIES))
    made = [
        "# What a verdict costs",
        "",
        f"Training runs (both arms) until one arm is judged against a baseline: alpha {ALPHA:g} two-sided, power "
        f"{POWER:g} at a true gain of {EFFECT:g} nats, noise resampled",
        "from residuals of real runs. Every design is the smallest of its kind with that power. Looks come after every "
        f"{EVERY} pairs and give up when a gain of {EFFECT:g} is ruled out.",
        "As shipped: boundaries hold alpha even for those who go on after giving up, so fewer false positives are made "
        "than allowed. At the field's error: nominal alpha is",
        "raised until the false positives made are the field's, which holds only if giving up is final.",
        "r is the correlation of the two runs of a seed. Mix: half of the studies have no effect, half have the gain.",
        f"{STUDIES:,} simulated studies; the error of a false-positive rate is {error:.4f}. "
        "`python -m benchmarks.cost_of_a_verdict` makes this table.",
        "",
        "| design | r | nominal alpha | false positives | power | most runs | no effect | gain | mix | mix / field |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for d in designs:
        made.append(
            f"| {d.name} | {d.correlation:.2f} | {d.level:g} | {d.false_positives:.4f} | {d.power:.3f} | {d.most} | "
            f"{d.runs_null:.1f} | {d.runs_effect:.1f} | {d.runs:.1f} | {d.runs / designs[0].runs:.2f} |"
        )
    return [*made, ""]


def main() -> None:
    designs = compare()
    RESULTS.mkdir(exist_ok=True)
    text = lines(designs)
    (RESULTS / "cost_of_a_verdict.md").write_text("\n".join(text))
    settings = {"effect": EFFECT, "alpha": ALPHA, "power": POWER, "studies": STUDIES, "residuals": len(residuals())}
    record = [asdict(d) | {"runs": d.runs, "ratio": d.runs / designs[0].runs} for d in designs]
    (RESULTS / "cost_of_a_verdict.json").write_text(
        json.dumps({"settings": settings, "designs": record}, indent=2) + "\n"
    )
    print("\n".join(text))


if __name__ == "__main__":
    main()
