"""`coregpt plan --json`: the same plan for programs."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coregpt.cli.studies.costs import Asked
from coregpt.lab.designs.design import Allowance
from coregpt.lab.designs.match import achieved, matched_on
from coregpt.lab.execute.repeats import repeats
from coregpt.lab.planning.affordable import Affordable, affordable
from coregpt.lab.planning.chain import standing
from coregpt.lab.planning.credit import credited, departures
from coregpt.lab.planning.forecast import Forecast, forecast
from coregpt.lab.planning.kept import kept
from coregpt.lab.planning.power import power_of
from coregpt.lab.planning.preregister import older_lines
from coregpt.lab.planning.split import with_split
from coregpt.lab.planning.untuned import untuned
from coregpt.lab.study.idle.known import Known
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan


def plan_data(made: Plan, asked: Asked, idle: Known) -> dict[str, Any]:
    """One study as plain data. Seconds and prices are those of the missing runs; None where nothing is missing."""
    made, split = with_split(made, asked.store)
    study, test, power = made.study, made.study.criterion, power_of(made, asked.store)
    expected, differing = forecast(made, asked.store, asked.jobs), credited(made)
    return {
        "study": study.name,
        "question": study.question,
        "scale": study.scale,
        "systems": list(study.systems),
        "size": study.member,
        "digest": study.digest,
        "baseline": test.baseline,
        "equal": study.equal,
        "match": matched_on(study),
        "seeds": list(study.seeds),
        "runs": len(made.runs),
        "flops": made.flops if foreign(made.baseline.run) is None else None,
        "data": {
            "source": made.source.name if foreign(made.baseline.run) else study.arms[0].run.data.source,
            "found": made.place() if foreign(made.baseline.run) else made.runs[0].config.data.source,
            "sha256": made.source.digest,
        },
        "older_runs": older_lines(made, asked.store),
        "repeated": repeats(made, asked.store),
        "gpus_per_run": "auto" if study.splits and split is None else made.study.gpus_per_run,
        "arms": [_arm(name, made, expected, asked.price) for name in made.costs],
        "missing": _missing(expected, asked.price),
        "budget": _budget(affordable([(made, expected)], asked.store)),
        "kept_weights": _kept(made, asked.store),
        "test": {
            "name": power.design.name,
            "level": power.level,
            "margin": test.margin,
            "power": test.power,
            "sd": power.sd,
            "sd_from": power.origin,
            "detectable": power.detectable,
            "unit": made.unit,
        },
        "chain": _chain(made, power.sd, asked.store),
        "differs": {each.setting: each.values for each in differing},
        "counts_as": {each.setting: each.why for each in differing},
        "departures": list(departures(made)),
        "untuned": untuned(made),
        "pilot": test.pilot,
        "idle": idle.idle,
        "equal_numbers": [list(group) for group in idle.equal],
    }


def _chain(made: Plan, sd: float, store: Path) -> dict[str, Any] | None:
    """None for what spends nothing of its chain."""
    found = standing(made, sd, store)
    if found is None:
        return None
    return {
        "name": found.chain,
        "confirmation": found.place.k,
        "confirmed_before": found.place.confirmed,
        "alpha": found.place.alpha,
        "level": found.level,
        "power": found.power,
        "detectable": found.detectable,
        "seeds_for_margin": found.needed,
        "registered": found.registered,
    }


def _arm(name: str, made: Plan, expected: Forecast | None, price: float | None) -> dict[str, Any]:
    cost = made.costs[name]
    if foreign(made.baseline.run) is not None:
        return {"arm": name, "missing_runs": expected.arms[name].runs if expected and name in expected.arms else 0}
    share = expected.arms.get(name) if expected else None
    return {
        "arm": name,
        "parameters": cost.parameters,
        "parameters_by_role": cost.parameters_by_role,
        "flops_per_token": cost.flops_per_token,
        "steps": cost.steps,
        "tokens": cost.tokens,
        "flops": cost.flops,
        "stages": [asdict(stage) for stage in cost.stages],
        "matched": achieved(made.study, made.costs).get(name),
        "missing_runs": share.runs if share else 0,
        "seconds": _known(share.seconds) if share else 0.0,
        "price": _known(expected.cost(name, price)) if expected and share and price else None,
        "memory_bytes": {**asdict(share.memory), "peak": share.memory.peak} if share else None,
    }


def _kept(made: Plan, store: Path) -> dict[str, int] | None:
    found = kept(made, store)
    return None if found is None else {"runs": found.runs, "bytes": found.bytes, "free_bytes": found.free}


def _budget(found: Affordable) -> dict[str, Any] | None:
    """None without a budget. A study with trials is told in two stages, each with its own hours."""
    if found.allowance == Allowance():
        return None
    hours = {"spent_hours": found.spent, "coming_hours": _known(found.coming)}
    return {**asdict(found.allowance), **hours, "too_slow": found.too_slow, "fits": found.fits}


def _known(value: float) -> float | None:
    """What nobody can tell is null: JSON has no NaN."""
    return None if math.isnan(value) else value


def _missing(expected: Forecast | None, price: float | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    return {
        "runs": expected.runs,
        "at_once": expected.at_once,
        "seconds": _known(expected.seconds),
        "price": _known(expected.total(price)) if price else None,
        "tokens_per_second": _known(expected.speed),
        "speed_from": expected.origin,
        "device": expected.device,
        "memory_bytes": expected.needed,
        "memory_room_bytes": expected.room,
    }
