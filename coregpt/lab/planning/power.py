"""What a planned study can be expected to detect, and where the noise that it is counted with comes from."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coregpt.contract.errors import RunError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.noise import recorded
from coregpt.lab.records.losses import final
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.stats.design import Design, choose_test
from coregpt.stats.power import detectable, difference_sd

DEFAULT_SD = 0.02
"""Of a paired difference in nats, where nothing is known: rather more than the median of all that is published here."""
PUBLISHED = (0.001, 0.05)
"""Between these nearly all comparisons in `reports/` have theirs; most are of models below a million parameters."""
ASSUMED = f"assumed; published comparisons have {PUBLISHED[0]:g} to {PUBLISHED[1]:g}; "
ASSUMED += "`coregpt noise` measures it, test.sd sets it"
ENOUGH_RUNS = 3


@dataclass(frozen=True)
class Power:
    """What the declared test can be expected to find."""

    design: Design
    level: float
    sd: float
    """Of a paired difference, in the unit of the metric; `origin` says in words where it comes from."""
    origin: str
    detectable: float | None
    """The difference found with the declared probability; None if the design allows no test."""


def power_of(made: Plan, store: Path) -> Power:
    """Of a plan's declared test, with the noise that is best known on this machine."""
    sd, origin = noise(made, store)
    design, found = announced(made.study, sd)
    test = made.study.criterion
    return Power(design, test.alpha if test.screen is None else test.screen, sd, origin, found)


def announced(study: Study, sd: float) -> tuple[Design, float | None]:
    """The test that the study will get, and the difference that it finds with the declared probability.

    It is a study design's own, or follows from the numbers of arms and seeds; `sd` is that of a paired difference.
    """
    for each in DESIGNS:
        own = each.test(study, sd)
        if own is not None:
            return own
    test = study.criterion
    design = choose_test(len(study.seeds), len(study.compared) - 1)
    return design, detectable(design, sd, test.alpha, test.power)


def noise(made: Plan, store: Path) -> tuple[float, str]:
    """Standard deviation of a per-seed difference, and where the number comes from, the best source first."""
    values = final_values(made, store)
    baseline = values.pop(made.baseline.name)
    values = {arm.name: values[arm.name] for arm in made.study.compared if arm.name in values}
    variances = []
    for own in values.values():
        pairs = [own[seed] - baseline[seed] for seed in sorted(own.keys() & baseline.keys())]
        if len(pairs) >= ENOUGH_RUNS:
            variances.append(statistics.variance(pairs))
    if variances:
        return statistics.mean(variances) ** 0.5, "from earlier runs of these arms"
    for design in DESIGNS:
        known = design.noise(made.study)
        if known is not None:
            return known
    facts = recorded(made, store)
    if facts is not None:
        floor = floor_of(facts)
        hopeful = f"as if unpaired; pairing can bring it to {floor.hopeful:.2g} or lower"
        return floor.cautious, f"from {floor.runs} runs of `coregpt noise`, {hopeful}"
    if len(baseline) >= ENOUGH_RUNS:
        sd = statistics.stdev(baseline.values())
        return difference_sd(sd), f"from {len(baseline)} earlier runs of the baseline, as if unpaired"
    if made.study.criterion.sd is not None:
        return made.study.criterion.sd, "assumed in the study"
    return DEFAULT_SD, ASSUMED


@dataclass(frozen=True)
class Floor:
    """Standard deviations of a per-seed difference as measured on the baseline alone."""

    runs: int
    cautious: float
    """If the technique answers to other luck than the baseline, so that pairing buys nothing."""
    hopeful: float
    """If it keeps the luck of initial weights and of data order, and only their interaction differs."""


def floor_of(facts: Mapping[str, Any]) -> Floor:
    """From the record of `coregpt noise`: a difference of two runs has twice the variance that they do not share.

    Raises RunError for a record without these numbers.
    """
    try:
        part = {each["source"]: float(each["variance"]) for each in facts["components"]}
        apart = part["interaction"] + part["repetition"]
        all_of_it = part["initial weights"] + part["data order"] + apart
        return Floor(len(facts["run_ids"]), math.sqrt(2 * all_of_it), math.sqrt(2 * apart))
    except (KeyError, TypeError, ValueError) as error:
        text = "the record of coregpt noise does not hold the parts of the variance; run coregpt noise again"
        raise RunError(text) from error


def final_values(made: Plan, store: Path) -> dict[str, dict[int, float]]:
    """Final loss of every finished run on `select`, by arm and seed: a plan needs how far runs scatter, no verdict."""
    found: dict[str, dict[int, float]] = {arm.name: {} for arm in made.study.arms}
    for run in made.runs:
        loss = final(RunFolder(store / run.id), "select")
        if loss is not None and math.isfinite(loss):
            found[run.arm][run.seed] = loss * made.scale(run.arm, "select")
    return found
