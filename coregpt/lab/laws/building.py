"""Laws about what is built: it is documented, it works wherever it must, it is counted and owned by core."""

import inspect
import pickle
import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coregpt.contract.companion import Companion
from coregpt.contract.context import Context
from coregpt.contract.errors import in_one_line
from coregpt.engine.accounting import StageCost, count
from coregpt.engine.build import Run
from coregpt.engine.training.timeline import cut
from coregpt.lab.laws.law_case import EVERYTHING, PLAIN, SHAPE, LawCase, LawError
from coregpt.lab.laws.loop import steps_on_one_batch, weights
from coregpt.lab.laws.surroundings import AROUND
from coregpt.lab.laws.tools import executed_flops
from coregpt.lab.study.code.blame import told
from coregpt.lab.study.code.witness import witnessed

FLOPS_LIMIT = 0.01
SLOPE_LIMIT = 1e-6
Loss = Callable[[Tensor, Tensor], Tensor]


def documented(case: LawCase) -> None:
    """The module says what it is and where it comes from; every option has a line."""
    card = inspect.getdoc(sys.modules[case.cls.__module__]) or ""
    if not any(line.startswith("Source:") for line in card.splitlines()):
        raise LawError("the module's docstring needs a line that starts with 'Source:'")
    for name, option in case.cls.model_fields.items():
        if not option.description:
            raise LawError(f"option '{name}' needs a docstring under it")


def works_in_every_study(case: LawCase) -> str:
    """Builds, and makes its first and its last step: alone, under each mask, in bf16, with random numbers, with all."""
    if error := _failure(case.under(PLAIN)):
        raise LawError(error, stop=True)
    failures = {name: error for name in AROUND if (error := _failure(case.under((name,))))}
    if not failures and (error := _failure(case.under(EVERYTHING))):
        raise LawError(f"each alone it bears, but not{case.under(EVERYTHING).where()}: {error}", broken=AROUND)
    if failures:
        told = [f"{case.under((name,)).where().strip()}: {error}" for name, error in failures.items()]
        raise LawError("; ".join(told), broken=failures)
    return "plain, under a window, under document masks, in bf16, with random numbers"


def _failure(case: LawCase) -> str:
    """What went wrong in two steps; empty if nothing did."""
    try:
        return witnessed(partial(_two_steps, case))
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        return told(error) or in_one_line(error)


def _two_steps(case: LawCase) -> str:
    run = case.run(case.config())
    trainer = steps_on_one_batch(run, case)
    for step in (0, run.timeline.steps - 1):
        if not torch.isfinite(trainer.train_step(step)).all():
            return f"the loss is not finite at step {step}"
    worst = [path for path, value in weights(run).items() if not torch.isfinite(value).all()]
    return f"'{worst[0]}' is not finite after two steps" if worst else ""


def leaves_global_randomness_alone(case: LawCase) -> None:
    """Building, training and evaluating draw nothing from torch's, numpy's or Python's global generators."""
    before = _random_states()
    run = case.run(case.config())
    if used := _changed(before):
        raise LawError(f"building the model drew from {used} global random generator; use at.weight")
    trainer = steps_on_one_batch(run, case)
    for step in range(2):
        trainer.train_step(step)
    if used := _changed(before):
        raise LawError(
            f"it draws from {used} global random generator in training; use noise = at.random(name) while building "
            "and ctx.random(noise, shape) in forward, or uniform(...) in an update rule"
        )
    run.model.eval()
    with torch.no_grad():
        run.model.logits(case.tokens(), run.dials.values)
    if used := _changed(before):
        raise LawError(f"it draws from {used} global random generator in evaluation, where nothing may be random")


def _random_states() -> dict[str, bytes]:
    return {
        "torch's": torch.get_rng_state().numpy().tobytes(),
        "numpy's": pickle.dumps(np.random.get_state()),
        "Python's": pickle.dumps(random.getstate()),
    }


def _changed(before: dict[str, bytes]) -> str:
    now = _random_states()
    return " and ".join(name for name, state in before.items() if now[name] != state)


def every_parameter_in_one_group(case: LawCase) -> None:
    """The optimizer's stacks hold each parameter exactly once, as a view."""
    run = case.run(case.config())
    paths = [path for stack in run.optimizer.stacks for path in stack.paths]
    if sorted(paths) != sorted(run.assembly.params):
        raise LawError("the optimizer's groups are not a partition of the parameters")
    for stack in run.optimizer.stacks:
        for row, path in enumerate(stack.paths):
            if run.assembly.params[path].data_ptr() != stack.data[row].data_ptr():
                raise LawError(f"'{path}' is not a view of its stack: something replaced its storage")


def counts_agree(case: LawCase) -> str:
    """Core's parameter and FLOP counts equal a count of the products a real CPU step executes."""
    config = case.config()
    cost = count(config, case.instances(config))
    run = case.run(config)
    real = sum(param.numel() for param in {id(p): p for p in run.model.parameters()}.values())
    if cost.parameters != real:
        raise LawError(f"core counts {cost.parameters} parameters, the model has {real}")
    worst = 0.0
    for stage in cost.stages:
        executed, counted = _executed(case, run, stage), stage.flops_per_token
        gap = abs(executed / counted - 1)
        worst = max(worst, gap)
        if not gap <= FLOPS_LIMIT:
            raise LawError(
                f"core counts {counted:.6g} FLOPs per token, a real step executes {executed:.6g}: {gap:.2g} apart, "
                f"limit {FLOPS_LIMIT:g}"
            )
    return f"{real} parameters; FLOPs within {worst:.2g}, limit {FLOPS_LIMIT:g}"


def _pass(companion: Companion, loss: Loss, tokens: Tensor) -> None:
    companion.pass_loss(loss, tokens, tokens).backward()


def _executed(case: LawCase, run: Run, stage: StageCost) -> float:
    """FLOPs per token of all passes of one step."""
    clock = run.timeline.clock(stage.step)
    run.dials.set(clock)

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        return run.model(tokens, targets, run.dials.values)[0]

    tokens = cut(case.tokens(rows=2), stage.length)
    per_token = executed_flops(lambda: loss(tokens, tokens).backward()) / tokens.numel()
    whole = cut(case.tokens(run.timeline.rows(stage.step)), stage.length)
    for companion in run.companions:
        if companion.wants_pass(clock):
            again = executed_flops(partial(_pass, companion, loss, whole))
            per_token += again / whole.numel()
    return per_token


def slopes_are_derivatives(case: LawCase) -> str | None:
    """A logit transform with a `slope` works on each logit by itself, and the slope is its derivative."""
    run = case.run(case.config())
    bends: list[Any] = [transform for transform in run.model.transforms if hasattr(transform, "slope")]
    if not bends:
        return "no logit transform says its slope"
    tokens = case.tokens()
    ctx = Context(tokens, dict(run.dials.values), training=True, model=run.model)
    drawn = torch.randn(*tokens.shape, SHAPE.vocab, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    worst = 0.0
    for bend in bends:
        logits = (8 * drawn).requires_grad_()
        bent = bend(logits, ctx)
        (true,) = torch.autograd.grad(bent.sum(), logits)
        flat = logits.detach().flatten(0, 1).flip(-1)
        alone = (bend(flat, ctx).flip(-1).view_as(bent) - bent).abs().max()
        gap = (bend.slope(logits, bent) - true).abs().max() / true.abs().max()
        worst = max(worst, float(gap.detach()), float(alone.detach()))
        if not worst <= SLOPE_LIMIT:
            raise LawError(f"the slope of a logit transform is off by {worst:.2g}, limit {SLOPE_LIMIT:g}")
    return f"slopes within {worst:.2g}, limit {SLOPE_LIMIT:g}"


def neutral_setting_does_nothing(case: LawCase) -> str | None:
    """With the options in `neutral`, three training steps equal those without the plugin to the bit."""
    if case.cls.neutral is None:
        return "it declares no neutral options"
    for around in (PLAIN, EVERYTHING):
        here = case.under(around)
        bare, neutral = (_three_steps(here, plugins) for plugins in (here.bare(), here.plugins(case.cls.neutral)))
        for name, value in bare.items():
            if name not in neutral or not torch.equal(value, neutral[name]):
                raise LawError(f"neutral = {case.cls.neutral} still changes '{name}'{here.where()}")
    return None


def _three_steps(case: LawCase, plugins: dict[str, dict[str, Any]]) -> dict[str, torch.Tensor]:
    run = case.run(case.config(plugins))
    trainer = steps_on_one_batch(run, case)
    for step in range(3):
        trainer.train_step(step)
    return weights(run)
