"""Do the settings of the test, and what the test allows for, follow from the losses that the report shows?"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from coregpt.report.designs.bracket.words import untuned
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.inputs import StudyFacts
from coregpt.stats.bracket import next_rates
from coregpt.stats.response import Residual, fit, residual

FITTED = ("kind", "optimum", "minimum", "interval", "curvature", "coefficients", "edge", "cliff")
"""Fields that are the fit's."""
TOLERANCE = 1e-5
"""Of numbers that follow from others: settings have six digits."""


def contradictions(study: StudyFacts) -> Iterator[str]:
    """What was edited by hand; nothing for a study without a bracket."""
    found = study.bracket
    if found is None:
        return
    for arm, why in untuned(found, study.baseline).items():
        if arm not in study.incomparable:
            yield f"{arm}: the report compares it, but {why}"
    noise = residual([each.tried for each in found.arms])
    for each in found.arms:
        yield from _of_arm(each, noise)
        yield from _of_settings(each, found.setting, study)
        if both := sorted(set(each.seeds) & set(study.seeds)):
            yield f"{each.arm}: seeds of the test chose its {found.setting}: {', '.join(map(str, both))}"


def _of_arm(each: ArmBracket, noise: Residual) -> Iterator[str]:
    try:
        again = fit(each.tried, noise)
    except ValueError as error:
        yield f"{each.arm}: its bracket cannot be fitted: {error}"
        return
    value = each.declared * 2.0 ** (again.optimum or 0.0)
    pairs = (
        ("value of the test", each.value, value),
        ("expected loss", each.expected_loss, again.expected_loss),
        ("number of tuning seeds", len(each.seeds), again.seeds),
        ("reason why it is not tuned", each.why_not, again.why_not),
        *((name, getattr(each, name), getattr(again, name)) for name in FITTED),
    )
    for name, said, follows in pairs:
        if not _same(said, follows):
            yield f"{each.arm}: the report says {name} {said}, but the losses of its bracket give {follows}"


def _of_settings(each: ArmBracket, setting: str, study: StudyFacts) -> Iterator[str]:
    """All that moved, against the declaration: a replication runs with these values, so they are held to it."""
    declared = _flat(study.declaration.get("arms", {}).get(each.arm, {}))
    if each.settings.get(setting) != each.value:
        yield f"{each.arm}: the report says {setting} {each.value}, and {each.settings.get(setting)} for a replication"
    for path, value in {**each.settings, setting: each.value}.items():
        factor = 2.0 ** (each.optimum or 0.0)
        if declared and not _same(value, float(declared.get(path, math.nan)) * factor):
            yield f"{each.arm}: {path} {value} is not what was declared times 2^{each.optimum}"
    for point in each.points:
        if not _same(point.value, each.declared * 2.0**point.x):
            yield f"{each.arm}: {setting} {point.value} does not lie {point.x} octaves from {each.declared}"
    walked: dict[float, tuple[float, ...]] = {}
    while more := [x for x in next_rates(walked) if x in each.tried]:
        walked |= {x: each.tried[x] for x in more}
    if walked.keys() != each.tried.keys() or next_rates(walked):
        yield f"{each.arm}: the values tried are not those that the walk comes to"


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in data.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _same(said: object, follows: object) -> bool:
    if isinstance(said, tuple) and isinstance(follows, tuple):
        return len(said) == len(follows) and all(map(_same, said, follows))
    if isinstance(said, float) and isinstance(follows, float):
        return math.isclose(said, follows, rel_tol=TOLERANCE, abs_tol=1e-12)
    return said == follows
