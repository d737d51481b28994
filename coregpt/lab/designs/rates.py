"""An arm at another learning rate, or another value of one setting, in octaves (factors of 2) from the declared one."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations
from typing import Any

from pydantic import ValidationError

from coregpt.contract.errors import ConfigError
from coregpt.engine.build import build
from coregpt.lab.designs.found import COMPARED_AT, not_taken, with_settings
from coregpt.lab.study.declaration import Arm
from coregpt.lab.study.differences import settings
from coregpt.lab.study.identity import plugin_digests, run_id
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.registry import Catalogue, nearest
from coregpt.lab.study.sections.space import Point

LEARNING_RATE = "optim.lr"
DIGITS = 6
"""Significant digits of a setting that is found."""
_KNOWN: dict[str, dict[str, float]] = {}
"""Rates by what a run is: of one arm they are asked for again and again."""


def at_rate(arm: Arm, paths: Sequence[str], x: float, catalogue: Catalogue) -> Arm:
    """The arm with the settings that move (see `moving`) times 2^x."""
    return with_settings(arm, point_at(arm, paths, x), catalogue)


def point_at(arm: Arm, paths: Sequence[str], x: float) -> Point:
    """The settings that move, times 2^x; at 0 to the bit what is declared."""
    flat = settings(arm)
    return {path: float(f"{flat[path] * 2.0**x:.{DIGITS}g}") if x else flat[path] for path in paths}


def moving(arm: Arm, setting: str, catalogue: Catalogue) -> tuple[str, ...]:
    """The settings that move together. With the learning rate: those with which every parameter's rate doubles.

    A technique's own `lr` may be a rate, as an optimizer's is, or a factor on the common one; which it is, the model
    that is built says. Raises ConfigError if no choice of them doubles all rates.
    """
    if setting != LEARNING_RATE:
        return (setting,)
    own = [path for path, value in settings(arm).items() if _own_rate(path, value)]
    before = _rates(arm, catalogue)
    for also in chain.from_iterable(combinations(own, size) for size in range(len(own) + 1)):
        paths = (setting, *also)
        flat = settings(arm)
        try:
            doubled = _rates(with_settings(arm, {path: 2 * flat[path] for path in paths}, catalogue), catalogue)
        except (ValidationError, ConfigError):  # beyond what one of the settings takes
            continue
        if all(doubled[path] == 2 * rate for path, rate in before.items()):
            return paths
    tried = ", ".join((setting, *own))
    raise ConfigError(f"arm '{arm.name}': no common factor on {tried} doubles every learning rate")


def _own_rate(path: str, value: Any) -> bool:
    return path.startswith("plugins.") and path.rpartition(".")[2] == "lr" and isinstance(value, float)


def _rates(arm: Arm, catalogue: Catalogue) -> dict[str, float]:
    """Peak learning rate of every parameter."""
    key = run_id(arm.run, plugin_digests(catalogue, arm.run.plugins), "")
    if key not in _KNOWN:
        plugins = catalogue.instances(arm.run.plugins)
        run = build(arm.run, plugins, inputs=inputs_of(arm.run, catalogue), device="meta", separator=0)
        rules = run.assembly.rules
        _KNOWN[key] = {path: stack.rule.lr * rules[path].lr for stack in run.optimizer.stacks for path in stack.paths}
    return _KNOWN[key]


def unmovable(arm: Arm, setting: str, ends: Sequence[float], catalogue: Catalogue) -> Iterator[str]:
    """Why an arm cannot be bracketed by a setting, between the two ends in octaves."""
    flat = settings(arm)
    names = [name for name, value in flat.items() if type(value) is float and name.split(".")[0] not in COMPARED_AT]
    if setting not in flat:
        yield f"'{arm.name}' has no setting '{setting}'{nearest(setting, names)}"
    elif setting not in names:
        yield f"'{setting}' is no number that arms may be made to differ in"
    elif flat[setting] <= 0:
        yield f"'{setting}' is {flat[setting]:g} in '{arm.name}', and factors of it change nothing"
    else:
        try:
            points = [point_at(arm, moving(arm, setting, catalogue), x) for x in ends]
        except ConfigError as error:
            yield str(error)
            return
        for point in points:
            yield from (f"{point} of '{arm.name}': {text}" for text in not_taken(arm, point, catalogue))
