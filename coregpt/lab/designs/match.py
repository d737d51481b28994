"""`match: X` makes arms comparable: each gets what it needs to spend as much of X as the baseline, before any run.

    tokens    nothing to change; arms must have the baseline's tokens
    params    each arm's MLP width (`model.hidden`) is set so that it has the baseline's parameters
    flops     each arm's tokens are set so that it is trained with the baseline's FLOPs
    seconds   each arm's tokens are set from its measured speed (see `coregpt.lab.planning.pace`)

What is declared, and hashed, is the study as written with its `match`; run ids hold what was resolved. FLOPs are those
that core counts: tokens in proportion to parameters would not be equal FLOPs, attention and the head see to that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.engine.accounting import Cost, count
from coregpt.engine.build import build
from coregpt.lab.study.declaration import TOLERANCE, Arm, Match, Study, StudyFile
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.yamlfile import Key, read

ROUND_WIDTH, ANY_WIDTH = 8, 1
"""Multiples of the MLP width: the first is kind to hardware, the second is for models too small for it."""
WIDEST = 64
"""Times the model's width: an MLP beyond this would be no MLP any more."""
RECOUNTS = 3
"""FLOPs per token depend on the tokens a little, where sequence lengths are staged."""


def problems(file: StudyFile) -> Iterator[Problem]:
    """What `match` cannot be combined with."""
    if file.match is None:
        return
    if "equal" in file.model_fields_set and file.equal != file.axis:
        yield ("equal",), f"'match: {file.match}' holds {file.axis} equal; remove 'equal'"
    if file.mode == "fork":
        yield ("match",), "the arms of 'mode: fork' share their beginning and cannot be matched; remove it"
    sets = _SETS.get(file.match, ())
    for name, own in (file.arms or {}).items():
        inner: Any = own
        for part in sets:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if sets and inner is not None and name != file.test.get("baseline"):
            yield ("arms", name, *sets), f"is what 'match: {file.match}' sets; remove one of them"


_SETS: dict[Match, Key] = {"params": ("model", "hidden"), "flops": ("tokens",), "seconds": ("tokens",)}


def resolve(study: Study, costs: Mapping[str, Cost]) -> Study:
    """The study with its arms matched, if that needs no clock; unchanged if there is nothing to match.

    Raises ConfigError for an arm that comes to more than 1% from the baseline, saying what was reached.
    """
    if study.match not in ("params", "flops") or study.as_declared:
        return study
    goal = costs[study.criterion.baseline]
    fit = _fit_params if study.match == "params" else _fit_flops
    fixed = (study.criterion.baseline, study.yardstick)
    arms = tuple(arm if arm.name in fixed else fit(study, arm, goal) for arm in study.arms)
    return replace(study, arms=arms, as_declared=study.compared)


def with_tokens(study: Study, tokens: Mapping[str, int]) -> Study:
    """The study with other budgets; the declaration keeps those that were written."""
    arms = tuple(
        replace(arm, run=arm.run.model_copy(update={"tokens": tokens[arm.name]})) if arm.name in tokens else arm
        for arm in study.arms
    )
    return replace(study, arms=arms, as_declared=study.compared)


def whole_batches(tokens: float, batch: int) -> int:
    """The nearest budget of whole batches, of one at least."""
    return max(1, round(tokens / batch)) * batch


def achieved(study: Study, costs: Mapping[str, Cost]) -> dict[str, float]:
    """By arm, what it has of the matched quantity relative to the baseline, minus 1; empty without one or for seconds.

    The yardstick is not compared, so it is left out.
    """
    amount: dict[str | None, Callable[[Cost], float]] = {
        "tokens": lambda cost: cost.tokens,
        "params": lambda cost: cost.parameters,
        "flops": lambda cost: cost.flops,
    }
    if study.match not in amount:
        return {}
    of = amount[study.match]
    return {arm.name: of(costs[arm.name]) / of(costs[study.criterion.baseline]) - 1 for arm in study.compared}


def _fit_flops(study: Study, arm: Arm, goal: Cost) -> Arm:
    run, plugins = arm.run, study.catalogue.instances(arm.run.plugins)
    cost = count(run, plugins)
    for _ in range(RECOUNTS):
        tokens = whole_batches(goal.flops / cost.flops_per_token, run.batch_tokens)
        if tokens == run.tokens:
            break
        run = run.model_copy(update={"tokens": tokens})
        cost = count(run, plugins)
    if abs(cost.flops / goal.flops - 1) > TOLERANCE:
        reached = (
            f"{run.tokens:,} tokens are {cost.flops / goal.flops - 1:+.1%} of the baseline's {goal.flops:.4g} FLOPs"
        )
        raise ConfigError(f"{_where(study, arm)}: {reached}, the closest in whole batches; use smaller ones")
    return replace(arm, run=run)


def _fit_params(study: Study, arm: Arm, goal: Cost) -> Arm:
    plugins = study.catalogue.instances(arm.run.plugins)

    def at(hidden: int | None) -> tuple[Arm, int]:
        run = arm.run.model_copy(update={"model": arm.run.model.model_copy(update={"hidden": hidden})})
        made = build(run, plugins, device="meta", separator=0)
        return replace(arm, run=run), sum(made.assembly.params[path].numel() for path in made.assembly.infos)

    closest, has = at(arm.run.model.hidden)
    for multiple in (ROUND_WIDTH, ANY_WIDTH):
        width = _closest(lambda width: at(width)[1], goal.parameters, multiple, WIDEST * arm.run.model.dim)
        reached = at(width)
        if abs(reached[1] - goal.parameters) < abs(has - goal.parameters):
            closest, has = reached
        if abs(has / goal.parameters - 1) <= TOLERANCE:
            return closest
    text = f"with model.hidden {width} it has {has:,} parameters, {has / goal.parameters - 1:+.1%} of the baseline's"
    raise ConfigError(f"{_where(study, arm)}: {text} {goal.parameters:,}; no width comes closer")


def _closest(size: Callable[[int], int], goal: int, multiple: int, most: int) -> int:
    """The multiple of `multiple`, up to `most`, whose size, which grows with it, is closest to `goal`."""
    low, high = 1, most // multiple
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if size(middle * multiple) < goal else (low, middle)
    above, below = low * multiple, (low - 1) * multiple
    return below if below and goal - size(below) < size(above) - goal else above


def where(study: Study) -> str:
    """`study.yaml:7: match: flops`; a study that a report declares again has no lines."""
    place = f"{study.path}: match" if study.path.suffix == ".json" else read(study.path).where(("match",))
    return f"{place}: {study.match}"


def _where(study: Study, arm: Arm) -> str:
    return f"{where(study)}: arm '{arm.name}'"
