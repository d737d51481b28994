"""Which arms are compared at learning rates that nothing tuned, although what they change may move the best one.

The rule: an arm whose trained function or whose updates differ from the baseline's has an optimum of its own. That is
every technique, unless it stands at its neutral options, and every setting but those below. An arm that differs in
nothing but learning rates asks about these, and needs none found.
"""

from collections.abc import Mapping
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.rates import LEARNING_RATE, moving
from coregpt.lab.planning.credit import tuned
from coregpt.lab.study.declaration import Arm, Machine
from coregpt.lab.study.differences import settings
from coregpt.lab.study.identity import READ_OR_ROUNDED, WATCHING
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Outline
from coregpt.lab.study.registry import Catalogue

SHARED = "at one shared learning rate"
UNTUNED = "at learning rates that nothing tuned"
NEUTRAL = {*WATCHING, *READ_OR_ROUNDED, *Machine.model_fields}
"""Settings of memory, speed, rounding and measurement, which change neither the trained function nor its updates."""


def untuned(outlined: Outline) -> dict[str, str]:
    """By arm, in words, at which learning rates it is compared; without arms that need no other."""
    study, baseline = outlined.study, outlined.baseline
    if foreign(baseline.run) is not None:  # which of a program's settings is a learning rate, nobody here knows
        return {}
    if _finds_rate(outlined, baseline.name):
        arms = [arm for arm in study.compared if not _finds_rate(outlined, arm.name)]
    else:
        arms = list(study.compared)
    moved = [arm for arm in arms if arm.name != baseline.name and moves_optimum(arm, baseline, study.catalogue)]
    return {arm.name: SHARED if _shares(arm, baseline, study.catalogue) else UNTUNED for arm in moved}


def moves_optimum(arm: Arm, baseline: Arm, catalogue: Catalogue) -> bool:
    """Whether the best learning rate of an arm may be another one than the baseline's."""
    mine, base = (_acting(each, catalogue) for each in (arm, baseline))
    differing = {key for key in mine.keys() | base.keys() if mine.get(key) != base.get(key)}
    return any(not _is_rate(key) for key in differing)


def _acting(arm: Arm, catalogue: Catalogue) -> dict[str, Any]:
    """Settings without those that cannot move an optimum, and without techniques at their neutral options."""
    off = {name for name, options in arm.run.plugins.items() if _neutral(catalogue.cls(name).neutral, options)}
    return {
        key: value
        for key, value in settings(arm).items()
        if key not in NEUTRAL and not (key.startswith("plugins.") and key.split(".")[1] in off)
    }


def _neutral(neutral: Mapping[str, Any] | None, options: Mapping[str, Any]) -> bool:
    return neutral is not None and all(options.get(key) == value for key, value in neutral.items())


def _finds_rate(outlined: Outline, name: str) -> bool:
    """Whether a learning rate of the arm, and not only a factor on one, is found before the test."""
    arm = next(each for each in outlined.study.arms if each.name == name)
    found = tuned(outlined, name)
    return LEARNING_RATE in found or bool(any(map(_is_rate, found)) and _rates(arm, outlined.study.catalogue) & found)


def _rates(arm: Arm, catalogue: Catalogue) -> set[str]:
    """Every setting that is a rate and no factor on another one."""
    own = {key for key in settings(arm) if _is_rate(key)}
    if own == {LEARNING_RATE}:
        return own
    try:
        return set(moving(arm, LEARNING_RATE, catalogue))
    except ConfigError:  # no common factor doubles all rates
        return own


def _is_rate(path: str) -> bool:
    return path.rpartition(".")[2] == "lr"


def _shares(arm: Arm, baseline: Arm, catalogue: Catalogue) -> bool:
    """Whether all rates that one of the two has are the other's too."""
    mine, base = settings(arm), settings(baseline)
    rates = _rates(arm, catalogue) | _rates(baseline, catalogue)
    return all(mine.get(key) == base.get(key) for key in rates)
