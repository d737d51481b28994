"""What a verdict may be credited to: everything in which an arm differs from the baseline, sorted.

technique    a plugin that only one of the two has, and whatever the model comes to because of it; where both have
             the same plugins, the settings that differ are what is compared
prescribed   a setting that the technique's source fixes, at that value (`Plugin.prescribes`)
tuned        a setting found before the test, with equal effort for every arm
matched      a setting that arms differ in so that they spend equally much of something
rest         all others, which alone are confounds
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from coregpt.engine.accounting import count
from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.found import with_settings
from coregpt.lab.study.declaration import Arm, Machine
from coregpt.lab.study.differences import ABSENT, Flat, derive, differences, settings
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.outline import Outline

Kind = Literal["technique", "prescribed", "tuned", "matched", "rest"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ACTS_AS = {"optim.weight_decay": "weight decay", "optim.lr": "peak learning rate"}
"""What a built model says of a setting that a technique may overrule."""


@dataclass(frozen=True)
class Difference:
    """One setting, or one thing that settings come to, that is not equal in all arms."""

    setting: str
    values: dict[str, str]
    why: dict[str, Kind]
    """By arm that differs from the baseline in it."""


def credited(outlined: Outline) -> list[Difference]:
    """Every difference that is not a plugin as a whole, with its reason."""
    study, baseline = outlined.study, outlined.baseline
    rows = differences(study, outlined.derived)
    pairs = {arm.name: Pair(outlined, arm) for arm in study.compared if arm.name != baseline.name}
    return [
        Difference(
            setting,
            values,
            {
                name: pair.kind(setting, values[name])
                for name, pair in pairs.items()
                if values.get(name, ABSENT) != values.get(baseline.name, ABSENT)
            },
        )
        for setting, values in rows
    ]


@dataclass(frozen=True)
class Pair:
    """An arm beside the baseline."""

    outlined: Outline
    arm: Arm

    def kind(self, setting: str, value: str) -> Kind:
        """Of one difference; `value` is the arm's."""
        return self.kinds.get(setting) or self._comes_from(setting, value)

    @cached_property
    def plugins(self) -> set[str]:
        """Those that only one of the two has."""
        return set(self.arm.run.plugins) ^ set(self.outlined.baseline.run.plugins)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """By setting in which the two differ."""
        mine, base = settings(self.arm), settings(self.outlined.baseline)
        return {key: self._kind(key) for key in mine.keys() | base.keys() if mine.get(key) != base.get(key)}

    def _kind(self, key: str) -> Kind:
        if key.startswith("plugins.") and key.split(".")[1] in self.plugins:
            return "technique"
        if key.startswith("inputs.") and self.plugins:  # an input that no technique asks for is refused
            return "technique"
        if key in self.prescribed:
            return "prescribed"
        if key in self.tuned:
            return "tuned"
        if key in matched(self.outlined):
            return "matched"
        return "rest" if self.plugins else "technique"

    @cached_property
    def tuned(self) -> set[str]:
        """Settings that were found for one of the two: both had the same effort, and not all have the same settings."""
        return tuned(self.outlined, self.arm.name) | tuned(self.outlined, self.outlined.baseline.name)

    @cached_property
    def prescribed(self) -> set[str]:
        """Settings that a technique of only one of the two prescribes, where that one has them so."""
        found = set()
        for arm in (self.arm, self.outlined.baseline):
            flat = settings(arm)
            for name in self.plugins & arm.run.plugins.keys():
                asked = self.outlined.study.catalogue.cls(name).prescribes
                found |= {path for path, (value, _) in asked.items() if value is not None and flat.get(path) == value}
        return found

    def _comes_from(self, what: str, value: str) -> Kind:
        """The first kind whose settings, laid over the baseline with those of kinds before, give the arm's value."""
        present = [kind for kind in KINDS if kind in (*self.kinds.values(), "technique")]
        for kind in present[:-1]:
            if self._up_to(kind).get(what) == value:
                return kind
        return present[-1]

    def _up_to(self, last: Kind) -> Flat:
        """What the arm would come to without the settings of later kinds; nothing where it cannot be built so."""
        if last not in self._built:
            later = KINDS[KINDS.index(last) + 1 :]
            reset = {key for key, kind in self.kinds.items() if kind in later and key not in Machine.model_fields}
            self._built[last] = self._come_to(reset)
        return self._built[last]

    @cached_property
    def _built(self) -> dict[Kind, Flat]:
        return {}

    def _come_to(self, as_baseline: set[str]) -> Flat:
        base, catalogue = settings(self.outlined.baseline), self.outlined.study.catalogue
        try:
            arm = with_settings(self.arm, {key: base[key] for key in as_baseline}, catalogue)
            instances, inputs = catalogue.instances(arm.run.plugins), inputs_of(arm.run, catalogue)
            return derive(arm.run, instances, count(arm.run, instances, inputs), inputs)
        except Exception:  # a plugin may refuse, in any way, settings that nobody gave it
            return {}


def tuned(outlined: Outline, arm: str) -> set[str]:
    """Settings of an arm that were, or will be, found before the test."""
    study = outlined.study
    found = {path for design in DESIGNS for path in design.finds(study).get(arm, ())}
    written = next((settings(each) for each in study.as_declared if each.name == arm), None)
    if written is None:
        return found
    now = next(settings(each) for each in study.arms if each.name == arm)
    return found | {key for key in now if now[key] != written.get(key)} - matched(outlined)


def matched(outlined: Outline) -> set[str]:
    """Settings that may differ because arms spend equally much of something."""
    study = outlined.study
    held = {"tokens"} if study.equal != "tokens" else set()
    return held | {path for design in DESIGNS for path in design.matches(study)}


def departures(outlined: Outline) -> Iterator[str]:
    """What an arm does otherwise than a technique of it prescribes."""
    for arm in outlined.study.compared:
        flat, comes_to = settings(arm), outlined.derived.get(arm.name, {})
        for name in arm.run.plugins:
            for path, (value, source) in outlined.study.catalogue.cls(name).prescribes.items():
                if _follows(path, value, flat, comes_to, arm):
                    continue
                there = f"{path} is {flat[path]}, prescribed {value}" if value is not None else f"{path} is enabled"
                yield f"{arm.name} is not {name} as its source prescribes: {there} ({source})."


def _follows(path: str, value: object, flat: Flat, comes_to: Mapping[str, str], arm: Arm) -> bool:
    if value is None:
        return path.removeprefix("plugins.") not in arm.run.plugins
    if path not in flat or flat[path] == value:
        return True
    return path in ACTS_AS and comes_to.get(ACTS_AS[path]) == f"{value:g}" if isinstance(value, float) else False
