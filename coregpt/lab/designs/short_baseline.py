"""The baseline once more with a share of its tokens: measured against it, a gain in loss becomes steps saved.

The short run is a run of its own, with its own complete schedule: a point on the longer run's curve, where the
learning rate has not come down yet, would make every gain look like more steps than it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.lab.study.declaration import Study
from coregpt.lab.study.problems import Problem

ADAPTIVE = ("looks", "anytime", "abort")
"""Designs that end arms early, by their key under `test`."""


def with_yardstick(study: Study) -> Study:
    """The study with one more arm if it declares `test.yardstick`; it has the same seeds as the others."""
    share = study.criterion.yardstick
    if share is None:
        return study
    baseline = next(arm for arm in study.arms if arm.name == study.criterion.baseline)
    name = f"{baseline.name} at {share:g} of its tokens"
    run = baseline.run.model_copy(update={"tokens": int(share * baseline.run.tokens)})
    return replace(study, arms=(*study.arms, replace(baseline, name=name, run=run)), yardstick=name)


def without_yardstick(study: Study) -> Study:
    """The study without that arm: what is compared needs it in no way."""
    return replace(study, arms=study.compared, yardstick="")


def problems(mode: str | None, test: Mapping[str, Any]) -> Iterator[Problem]:
    """What a target or a yardstick cannot be combined with, by the keys under `test`."""
    for key in ("target", "yardstick"):
        if test.get(key) is None:
            continue
        for other in ADAPTIVE:
            if test.get(other):
                yield (key,), f"'{other}' ends arms early, and '{key}' needs every run to its end; remove one of them"
    if test.get("yardstick") is not None and mode in ("factorial", "fork"):
        yield ("yardstick",), f"'mode: {mode}' makes its arms in a way a shorter baseline is no part of; remove it"
