"""An arm with what it needs to spend as much as the baseline: tokens for FLOPs, MLP width for parameters."""

from collections.abc import Callable
from dataclasses import replace

from coregpt.contract.errors import ConfigError
from coregpt.engine.accounting import Cost, count
from coregpt.engine.build import build
from coregpt.lab.study.declaration import TOLERANCE, Arm, Study
from coregpt.lab.study.inputs import inputs_of

ROUND_WIDTH, ANY_WIDTH = 8, 1
"""Multiples of the MLP width: the first is kind to hardware, the second is for models too small for it."""
WIDEST = 64
"""Times the model's width: an MLP beyond this would be no MLP any more."""
RECOUNTS = 3
"""FLOPs per token depend on the tokens a little, where sequence lengths are staged."""


def whole_batches(tokens: float, batch: int) -> int:
    """The nearest budget of whole batches, of one at least."""
    return max(1, round(tokens / batch)) * batch


def fit_flops(study: Study, arm: Arm, goal: Cost, place: str) -> Arm:
    run, plugins = arm.run, study.catalogue.instances(arm.run.plugins)
    inputs = inputs_of(run, study.catalogue)
    cost = count(run, plugins, inputs)
    for _ in range(RECOUNTS):
        tokens = whole_batches(goal.flops / cost.flops_per_token, run.batch_tokens)
        if tokens == run.tokens:
            break
        run = run.model_copy(update={"tokens": tokens})
        cost = count(run, plugins, inputs)
    if abs(cost.flops / goal.flops - 1) > TOLERANCE:
        reached = (
            f"{run.tokens:,} tokens are {cost.flops / goal.flops - 1:+.1%} of the baseline's {goal.flops:.4g} FLOPs"
        )
        raise ConfigError(f"{place}: arm '{arm.name}': {reached}, the closest in whole batches; use smaller ones")
    return replace(arm, run=run)


def fit_params(study: Study, arm: Arm, goal: Cost, place: str) -> Arm:
    plugins = study.catalogue.instances(arm.run.plugins)
    inputs = inputs_of(arm.run, study.catalogue)

    def at(hidden: int | None) -> tuple[Arm, int]:
        run = arm.run.model_copy(update={"model": arm.run.model.model_copy(update={"hidden": hidden})})
        made = build(run, plugins, inputs=inputs, device="meta", separator=0)
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
    raise ConfigError(f"{place}: arm '{arm.name}': {text} {goal.parameters:,}; no width comes closer")


def _closest(size: Callable[[int], int], goal: int, multiple: int, most: int) -> int:
    """The multiple of `multiple`, up to `most`, whose size, which grows with it, is closest to `goal`."""
    low, high = 1, most // multiple
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if size(middle * multiple) < goal else (low, middle)
    above, below = low * multiple, (low - 1) * multiple
    return below if below and goal - size(below) < size(above) - goal else above
