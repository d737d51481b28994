"""Techniques that do nothing where they are, and arms whose numbers must be equal: known before the first run.

A technique does nothing in an arm if the arm without it has the same evaluations (`numbers`). Where sizes, update
rules or schedules tell the two apart already, nothing is traced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from torch import Tensor, nn

from coregpt.contract.errors import CoreGPTError
from coregpt.contract.record import Record
from coregpt.engine.build import Run
from coregpt.lab.study.declaration import Arm, Study
from coregpt.lab.study.identity import canonical
from coregpt.lab.study.idle.numbers import Case, loss_of, name_of, over_time
from coregpt.lab.study.idle.symbols import Shapes
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.kind import foreign

DEEP = 4
"""How far into the attributes of a rule or companion its settings are looked for."""


@dataclass(frozen=True)
class Known:
    """What needs no run to be known."""

    idle: dict[str, dict[str, str]]
    """By arm the techniques that do nothing in it, and why."""
    equal: tuple[tuple[str, ...], ...]
    """Arms that must have equal numbers, in groups."""
    everywhere: frozenset[str]
    """Techniques that every arm has and that do nothing in any: no difference between arms."""

    def apart(self, arm: str) -> dict[str, str]:
        """Techniques that do nothing in this arm and are not the same everywhere."""
        return {name: why for name, why in self.idle.get(arm, {}).items() if name not in self.everywhere}


def known(study: Study, tell: Callable[[str], None] = lambda line: None) -> Known:
    """Looks at every compared arm; what cannot be traced without memory is taken to act, and to differ.

    It takes a model for each technique of each arm: `tell` hears which arm is looked at.
    """
    if any(foreign(arm.run) is not None for arm in study.compared):  # nobody can look into a program
        return Known({}, (), frozenset())
    looks, idle = _Looks(study), {}
    for number, arm in enumerate(study.compared, 1):
        tell(f"looking for techniques that do nothing: {arm.name}, arm {number} of {len(study.compared)}")
        if found := looks.idle(arm):
            idle[arm.name] = found
    shared = frozenset.intersection(*(frozenset(arm.run.plugins) for arm in study.compared))
    nowhere = frozenset(name for name in shared if all(name in idle.get(arm.name, {}) for arm in study.compared))
    return Known(idle, looks.equal(study.compared), nowhere)


def why_idle(record: Record, plugin: str) -> str:
    """What became of its hooks: `nothing asks for its make_position`."""
    parts = []
    for hook in record.hooks.get(plugin, []):
        if not record.asked[plugin, hook]:
            parts.append(f"nothing asks for its {hook}")
        elif not record.answered[plugin, hook]:
            parts.append(f"its {hook} changes nothing where it is asked")
        else:
            parts.append(f"what its {hook} gives changes no evaluation")
    return "; ".join(parts) or "it has no hooks"


class _Looks:
    """Builds and traces, each once."""

    def __init__(self, study: Study):
        self.study = study
        self.sketches: dict[bytes, Sketch] = {}
        self.losses: dict[bytes, tuple[str, frozenset[str]]] = {}
        self.names: dict[bytes, tuple[str, frozenset[str]]] = {}

    def case(self, arm: Arm) -> Case:
        """Raises CoreGPTError for inputs that are not there."""
        catalogue = self.study.catalogue
        return Case(arm.run, catalogue.instances(arm.run.plugins), inputs_of(arm.run, catalogue))

    def idle(self, arm: Arm) -> dict[str, str]:
        """Techniques that do nothing in an arm, and why."""
        try:
            whole = self.case(arm)
        except CoreGPTError:  # whoever counts the arm tells
            return {}
        found = {}
        for name, _ in whole.plugins:
            rest = [(other, plugin) for other, plugin in whole.plugins if other != name]
            without = arm.run.model_copy(update={"plugins": {other: arm.run.plugins[other] for other, _ in rest}})
            try:
                if self.same(whole, Case(without, rest, whole.inputs), name):
                    found[name] = why_idle(self.sketch(whole).record, name)
            except Exception:
                # Every one counts: code of other plugins runs here without a neighbour it may lean on, and on shapes
                # where it may want numbers. What cannot be traced is taken to act, so nothing is claimed of it; errors
                # of the arm as it is are told by whoever counts it.
                continue
        return found

    def equal(self, arms: Sequence[Arm]) -> tuple[tuple[str, ...], ...]:
        """Groups of arms with one name of their evaluations."""
        groups: list[list[Arm]] = []
        for arm in arms:
            group = next((group for group in groups if self.equal_pair(group[0], arm)), None)
            if group is None:
                groups.append([arm])
            else:
                group.append(arm)
        return tuple(tuple(arm.name for arm in group) for group in groups if len(group) > 1)

    def equal_pair(self, one: Arm, other: Arm) -> bool:
        if one.machine != other.machine:
            return False
        try:
            return self.same(self.case(one), self.case(other))
        except Exception:  # of any kind: plugins may want numbers where there are shapes; nothing is claimed
            return False

    def same(self, one: Case, other: Case, extra: str = "") -> bool:
        """Whether two runs must have equal numbers. `extra` is a technique that only the first has.

        Its companion may act at a step that is not traced: it is said to do nothing only where it was seen to act
        in vain.
        """
        a, b = self.sketch(one), self.sketch(other)
        if a.course != b.course or (not extra and a.companions != b.companions):
            return False
        if self.moves_apart(one, other) or self.moves_apart(other, one) or self.loss(one)[0] != self.loss(other)[0]:
            return False
        names = self.name(one), self.name(other)
        if names[0][0] != names[1][0]:
            return False
        return extra not in a.owners or extra in names[0][1]

    def moves_apart(self, one: Case, other: Case) -> bool:
        """Whether a parameter that the first run's loss depends on starts or moves otherwise in the second."""
        rules, others = self.sketch(one).rules, self.sketch(other).rules
        unlike = {path for path, rule in rules.items() if others.get(path) != rule}
        return bool(unlike) and not unlike.isdisjoint(self.loss(one)[1])

    def sketch(self, case: Case) -> "Sketch":
        key = canonical(case.config.model_dump(mode="json"))
        if key not in self.sketches:
            with Shapes():
                self.sketches[key] = Sketch.of(case.build())
        return self.sketches[key]

    def name(self, case: Case) -> tuple[str, frozenset[str]]:
        key = canonical(case.config.model_dump(mode="json"))
        if key not in self.names:
            self.names[key] = name_of(case, case.build())
        return self.names[key]

    def loss(self, case: Case) -> tuple[str, frozenset[str]]:
        key = canonical(case.config.model_dump(mode="json"))
        if key not in self.losses:
            self.losses[key] = loss_of(case)
        return self.losses[key]


@dataclass(frozen=True)
class Sketch:
    """What tells most runs apart at once."""

    record: Record
    owners: tuple[str, ...]
    """Whose companions there are."""
    course: Any
    """Sizes of steps and learning rates over the run."""
    companions: list[Any]
    rules: dict[str, Any]
    """By parameter all that decides how it starts and moves."""

    @classmethod
    def of(cls, run: Run) -> "Sketch":
        lr = run.dials.schedules.get("lr")
        course = run.timeline, over_time(run, lr) if lr else over_time(run, lambda clock: 1.0)
        return cls(
            run.assembly.record, tuple(run.owners), course, [_settings(each) for each in run.companions], _rules(run)
        )


def _rules(run: Run) -> dict[str, Any]:
    found = {}
    for stack in run.optimizer.stacks:
        moves = _settings(stack.rule), _settings(stack.decay)
        for path in stack.paths:
            own = run.assembly.rules[path]
            start = None if callable(own.init) else own.init
            found[path] = (
                stack.group.role,
                stack.group.shape,
                stack.group.label,
                moves,
                own.lr,
                own.weight_decay,
                start,
            )
    return found


def _settings(value: Any, deep: int = DEEP) -> Any:
    """Plain data inside an object: what its options were, wherever it keeps them."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, BaseModel):
        return type(value).__qualname__, value.model_dump(mode="json")
    if isinstance(value, Tensor | nn.Module | type) or callable(value) or not deep:
        return type(value).__qualname__
    if isinstance(value, dict):
        return [(str(key), _settings(each, deep - 1)) for key, each in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [_settings(each, deep - 1) for each in value]
    return type(value).__qualname__, _settings(vars(value), deep - 1) if hasattr(value, "__dict__") else ""
