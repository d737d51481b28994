"""What runs did, held against what was planned: products of passes and of updates, and tokens that went through.

A plan has for each update what its rules multiply by themselves (`lab/study/updates.py`): that much is the technique's
own, and it is told beside the baseline's. What a real update multiplies beside it is a confound, as more passes are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from coregpt.contract.errors import CoreGPTError, in_one_line
from coregpt.lab.guard.work import LOW, OPTIMIZER, OUTSIDE, STEP
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.updates import UncountedError, Updates
from coregpt.report.drawing.numbers import listing
from coregpt.report.facts.inputs import Confound

MORE = 1.02
"""Of what was planned: beyond it the work takes credit from the technique."""
PRODUCTS, TOKENS = "products in a step", "tokens through the model"
WITH_OUTSIDE = "products of a run, with those outside of its steps"
THREADS = "processor time of other threads"
MOST_BESIDE = 0.05
"""Of a run's own processor time: a run on a CPU has one thread that computes."""
LOWER = "products below fp32"
UPDATE, BESIDE = "products of the optimizer", "products of the optimizer, against its plan"
Found = dict[str, dict[str, float]]
"""By what was counted and arm, the largest share of what was planned."""
Counted = Mapping[str, Sequence[Mapping[str, Any]]]
"""By arm, what the results of its runs say of their work."""


def updates_of(plan: Plan, arm: str) -> Updates:
    """The plan of an arm's updates. Raises UncountedError where none can be made."""
    study, config = plan.study, next(run.config for run in plan.runs if run.arm == arm)
    instances = partial(study.catalogue.instances, config.plugins)
    try:
        return Updates(config, instances, inputs_of(config, study.catalogue), study.gpus_per_run)
    except Exception as error:  # of a technique's code, which was never asked in this way before
        raise UncountedError(str(error) if isinstance(error, CoreGPTError) else in_one_line(error)) from None


def worked(
    plan: Plan, store: Path, updates: Callable[[Plan, str], Updates] = updates_of
) -> tuple[tuple[Confound, ...], tuple[str, ...]]:
    """Arms whose runs did more than their plan says; and what was not counted, or is in no plan, and why.

    Runs where nothing was counted are not among the first.
    """
    counted = _counted(plan, store)
    found: Found = {PRODUCTS: {}, TOKENS: {}, WITH_OUTSIDE: {}, BESIDE: {}}
    unplanned: dict[str, list[str]] = {}
    for arm, works in counted.items():
        for what, share in (pair for work in works for pair in _shares(plan, arm, work)):
            found[what][arm] = max(share, found[what].get(arm, 0.0))
        moved = [step for work in works for step in work["steps"] if step[OPTIMIZER]]
        if not moved:  # no rule may multiply less than nothing
            continue
        try:
            found[BESIDE][arm] = _beside(updates(plan, arm), moved)
        except UncountedError as error:
            unplanned.setdefault(str(error), []).append(arm)
    for what in (WITH_OUTSIDE, BESIDE):
        for arm in counted if found[what] else ():
            found[what].setdefault(arm, 1.0)
    more = [confound for what, shares in found.items() for confound in _confound(what, shares, plan.baseline.name)]
    more += _threads(counted, plan.baseline.name)
    told = [f"products of the optimizer of {listing(arms)} have no plan: {why}" for why, arms in unplanned.items()]
    return (*more, *_own(counted, plan)), (*_uncounted(counted), *told)


def _counted(plan: Plan, store: Path) -> dict[str, list[dict[str, Any]]]:
    """What the results of each arm say of their work."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in plan.runs:
        if work := (RunFolder(store / run.id).result() or {}).get("work"):
            found.setdefault(run.arm, []).append(work)
    return found


def _shares(plan: Plan, arm: str, work: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    cost = plan.costs[arm]
    planned = max([stage.flops_per_token for stage in cost.stages] or [cost.flops_per_token])
    for step in work["steps"]:
        yield PRODUCTS, step[STEP] / step["tokens"] / planned
    if work["declared"]:
        yield TOKENS, work["tokens"] / work["declared"]
    if OUTSIDE in work:
        yield WITH_OUTSIDE, 1 + work[OUTSIDE] / cost.flops


def _beside(plan: Updates, steps: Sequence[Mapping[str, Any]]) -> float:
    """The largest share of what an update should multiply; infinite where it should nothing."""
    planned = [plan.products(step["step"], step.get("update", step["step"] + 1)) for step in steps]
    return max(step[OPTIMIZER] / own if own else float("inf") for step, own in zip(steps, planned, strict=True))


def _own(counted: Counted, plan: Plan) -> Iterator[Confound]:
    """Where arms with other techniques than the baseline's multiply more, or less, in their updates; or multiply below
    the precision that is declared."""
    steps = {arm: [step for work in works for step in work["steps"]] for arm, works in counted.items()}
    passes = {arm: sum(step[STEP] for step in found) for arm, found in steps.items()}
    updates = {arm: sum(step[OPTIMIZER] for step in steps[arm]) / own for arm, own in passes.items() if own}
    yield from _apart(UPDATE, updates, plan, "of its passes")
    whole = {run.arm for run in plan.runs if run.config.precision == "fp32"}
    every = {arm: own + sum(step[OPTIMIZER] for step in steps[arm]) for arm, own in passes.items() if arm in whole}
    low = {arm: sum(step.get(LOW, 0.0) for step in steps[arm]) / own for arm, own in every.items() if own}
    yield from _apart(LOWER, low, plan, "of all")


def _apart(what: str, shares: Mapping[str, float], plan: Plan, of: str) -> Iterator[Confound]:
    base = shares.get(plan.baseline.name)
    if base is None:
        return
    plugins = {arm.name: set(arm.run.plugins) for arm in plan.study.arms}
    apart = [arm for arm in shares if plugins[arm] != plugins[plan.baseline.name]]
    apart = [arm for arm in apart if abs(shares[arm] - base) > MORE - 1]
    if apart:
        values = {arm: f"{share:.3g} {of}" for arm, share in shares.items()}
        yield Confound(setting=what, values=values, why=dict.fromkeys(apart, "technique"))


def _confound(what: str, shares: Mapping[str, float], baseline: str) -> Iterator[Confound]:
    over = [arm for arm, share in shares.items() if share > MORE]
    if over:
        values = {arm: _said(share) for arm, share in shares.items()}
        # Where the baseline does more than planned, all others differ from it.
        arms = [arm for arm in shares if arm != baseline] if baseline in over else over
        yield Confound(setting=what, values=values, why=dict.fromkeys(arms, "rest"))


def _threads(counted: Counted, baseline: str) -> Iterator[Confound]:
    """What ran beside the thread that trains, where nobody counts products."""
    clocks = {arm: [work["seconds"] for work in works if "seconds" in work] for arm, works in counted.items()}
    shares = {
        arm: sum(each["beside"] for each in found) / own
        for arm, found in clocks.items()
        if (own := sum(each["own"] for each in found))
    }
    over = [arm for arm, share in shares.items() if share > MOST_BESIDE]
    if over:
        values = {arm: f"{share:.2g} of its own" for arm, share in shares.items()}
        arms = [arm for arm in shares if arm != baseline] if baseline in over else over
        yield Confound(setting=THREADS, values=values, why=dict.fromkeys(arms, "rest"))


def _said(share: float) -> str:
    return "none is planned" if share == float("inf") else f"{share:.3g} of the plan"


def _uncounted(counted: Counted) -> Iterator[str]:
    """Runs whose last step could not be taken again, by the reason."""
    arms: dict[str, dict[str, None]] = {}
    for arm, works in counted.items():
        for work in works:
            if why := work.get("uncounted"):
                arms.setdefault(why, {})[arm] = None
    yield from (f"products of {listing(list(each))} were not counted: {why}" for why, each in arms.items())
