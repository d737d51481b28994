"""Does a technique win by anything but its model? What it must leave alone, tested before any run is trained.

Runs watch the same while they train (`lab/guard`, `lab/judging/judge.py`); here it takes a second, and says so first.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.errors import PluginError
from coregpt.engine.build import Run
from coregpt.engine.training.evaluate import total_loss
from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.lab.guard.bound import Bound
from coregpt.lab.guard.opened import listening
from coregpt.lab.guard.work import OPTIMIZER, STEP, Work, built, products
from coregpt.lab.laws.law_case import LawCase, LawError
from coregpt.lab.laws.loop import steps_on_one_batch
from coregpt.lab.study.updates import UncountedError, Updates

CODE = re.compile(r"\.(py|pyc(\.\d+)?|so|pyd|dll)$")
"""Files of these kinds are imported, which a plugin's digest follows; one with a number is a cache being written."""
SYSTEM = ("/proc/", "/sys/", "/dev/")
STEPS = 3
MORE = 1.02
"""Products of a step over those of its passes; what a companion computes beside them is a few sums."""
AGREE = 1e-5
"""Of 1 + loss: two ways to round one number."""


def leaves_what_all_share_alone(case: LawCase) -> None:
    """Functions of torch and core, precision, threads: the same after import, build, training, while evaluating."""
    bound = case.bound or Bound.now()
    with _put_back(bound):
        case.cls  # imports it, if nobody has  # noqa: B018
        _same(bound, "being imported")
        run = case.run(case.config())
        _same(bound, "building")
        trainer = steps_on_one_batch(run, case)
        for step in range(2):
            trainer.train_step(step)
        _same(bound, "training")
        with evaluating(run):
            _same(bound, "evaluating")


def opens_no_file(case: LawCase) -> None:
    """Import, building, training and evaluating open no file but code that is imported."""
    config = case.config()  # writes what the laws give a technique as an input
    with listening() as heard:
        run = case.run(config)
        trainer = steps_on_one_batch(run, case)
        for step in range(2):
            trainer.train_step(step)
        with evaluating(run), torch.no_grad():
            run.model.logits(case.tokens(), run.dials.values)
    given = {os.path.realpath(source.file) for each in case.asked.values() for source in each.values() if source.file}
    found = [path for path in (*case.heard, *heard) if not CODE.search(path)]
    found = [path for path in found if not path.startswith(SYSTEM)]
    found = [path for path in found if os.path.realpath(path) not in given and not _of_installed(path)]
    if found:
        raise LawError(f"it opens {found[0]}: a file that is in no run's identity, or what runs are judged on")


def trains_on_its_batch_alone(case: LawCase) -> str:
    """A step gives the model its batch, once for each pass, and multiplies as much as these passes do."""
    config = case.config(steps=STEPS)
    run, spent = built(partial(case.run, config))
    alone = [_passes(case, run, step) for step in range(STEPS)]
    if spent > alone[0] * config.batch_tokens:
        raise LawError(
            f"building multiplies {spent / alone[0] / config.batch_tokens:.3g} times as much as a step: what is "
            "trained or searched before the first step is work that nobody counts"
        )
    work = Work(run, lambda but, functions: None)
    trainer = steps_on_one_batch(run, case)
    try:
        for step in range(STEPS):
            trainer.train_step(step)
    except PluginError as error:
        raise LawError(str(error)) from None
    finally:
        work.let_go()
    facts = work.facts() or {}
    if facts["tokens"] > MORE * facts["declared"]:
        raise LawError(
            f"the model was given {facts['tokens']:,} tokens in {STEPS} steps that have {facts['declared']:,}: "
            "a companion trains on more beside them; ask for a second pass with wants_pass, which is counted"
        )
    steps = [(step, own * step["tokens"]) for step, own in zip(facts["steps"], alone, strict=True) if own]
    worst = max(step[STEP] / own for step, own in steps)
    if worst > MORE:
        raise LawError(
            f"a step multiplies {worst:.3g} times as much as its passes: a companion computes beside them what nobody "
            "counts; ask for a second pass with wants_pass, which is counted"
        )
    optimizer = max(step[OPTIMIZER] / own for step, own in steps)
    if not optimizer:
        return ""
    told = f"its update multiplies {optimizer:.2g} times as much as the passes of this tiny step"
    try:
        _updates_as_planned(Updates(config, lambda: case.instances(config)), facts["steps"])
    except UncountedError as error:
        return f"{told}, and no plan can say how much it should: {error}"
    return told


def _updates_as_planned(plan: Updates, steps: Sequence[Mapping[str, Any]]) -> None:
    for step in steps:
        own = plan.products(step["step"], step["update"])
        if step[OPTIMIZER] > MORE * own:
            raise LawError(
                f"an update multiplies {step[OPTIMIZER]:.3g} floating point operations, and its rules by themselves "
                f"{own:.3g}: something is computed beside them, or they reach for more than parameters and gradients"
            )


def evaluates_what_it_is_given(case: LawCase) -> None:
    """Evaluation rows keep their bytes, and the loss of an evaluation is that of its logits."""
    run = case.run(case.config())
    trainer = steps_on_one_batch(run, case)
    trainer.train_step(0)
    # Not as tensors, which a companion might find and change as well.
    before = {name: [each.tolist() for each in rows] for name, rows in trainer.eval_data.items()}
    trainer.progress.step = run.timeline.steps
    trainer.calls = trainer.train_step.calls
    trainer.measure(run.timeline.steps)
    for name, rows in trainer.eval_data.items():
        if [each.tolist() for each in rows] != before[name]:
            raise LawError(f"it changes the tokens of {name} while they are evaluated")
    with evaluating(run):
        for name, told in ((SELECT, trainer.progress.select), (HELD_OUT, trainer.progress.value)):
            found = _loss(run, *map(torch.tensor, before[name]))
            if told is None or not abs(told - found) <= AGREE * (1 + abs(found)):
                raise LawError(f"an evaluation says {name} {told}, and its logits say {found:.6f}")


FAIR = (leaves_what_all_share_alone, opens_no_file, trains_on_its_batch_alone, evaluates_what_it_is_given)


@contextlib.contextmanager
def evaluating(run: Run) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for companion in run.companions:
            stack.enter_context(companion.evaluating())
        yield


@torch.no_grad()
def _loss(run: Run, inputs: Tensor, targets: Tensor) -> float:
    run.model.eval()
    logits = run.model.logits(inputs, run.dials.values)
    run.model.train()
    return float(total_loss(logits.float().flatten(0, 1), targets.flatten())) / targets.numel()


def _passes(case: LawCase, run: Run, step: int) -> float:
    """Products per token of the passes that a step declares, taken by themselves."""
    clock = run.timeline.clock(step)
    run.dials.set(clock)
    tokens = case.tokens(length=run.config.model.context)
    wanted = [companion for companion in run.companions if companion.wants_pass(clock)]

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        return run.model(tokens, targets, run.dials.values)[0]

    def compute() -> None:
        with case.autocast():
            losses = [loss(tokens, tokens), *(each.pass_loss(loss, tokens, tokens) for each in wanted)]
        for each in losses:
            each.backward()

    spent = products(compute)
    run.optimizer.clear()
    return spent / tokens.numel()


def _same(bound: Bound, when: str) -> None:
    found = [*bound.changed_functions(), *bound.changed_switches()]
    if found:
        raise LawError(f"after {when}, {'; '.join(found[:3])}: what all runs share is not a technique's to change")


@contextlib.contextmanager
def _put_back(bound: Bound) -> Iterator[None]:
    """The other laws, and whoever asked, must not go on with what a technique left behind."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        bound.put_back()


def _of_installed(path: str) -> bool:
    """Whether a file belongs to Python or to an installed package, which read their own when they are first used."""
    places = (sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(torch.__file__)))
    roots = {os.path.realpath(place) for place in places}
    return any(os.path.realpath(path).startswith(root + os.sep) for root in roots)
