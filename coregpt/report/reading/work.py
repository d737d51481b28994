"""What runs did, held against what was planned of them: products in a step, and tokens that the model was given.

What an optimizer multiplies is planned by nobody. It is held against the baseline's, and is the technique's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import Confound

MORE = 1.02
"""Of what was planned: beyond it the work takes credit from the technique."""
PRODUCTS, TOKENS = "products in a step", "tokens through the model"
UPDATE = "products of the optimizer"


def worked(plan: Plan, store: Path) -> tuple[Confound, ...]:
    """Arms whose runs did more than their plan says. Runs where nothing was counted are not among them."""
    found: dict[str, dict[str, float]] = {PRODUCTS: {}, TOKENS: {}}
    updates: dict[str, float] = {}
    for run in plan.runs:
        work = (RunFolder(store / run.id).result() or {}).get("work")
        for what, share in _shares(plan, run.arm, work) if work else ():
            found[what][run.arm] = max(share, found[what].get(run.arm, 0.0))
        if work and (passes := sum(step["passes"] for step in work["steps"])):
            updates[run.arm] = sum(step["optimizer"] for step in work["steps"]) / passes
    more = [confound for what, shares in found.items() for confound in _confound(what, shares, plan.baseline.name)]
    return (*more, *_update(updates, plan))


def _shares(plan: Plan, arm: str, work: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    cost = plan.costs[arm]
    planned = max([stage.flops_per_token for stage in cost.stages] or [cost.flops_per_token])
    for step in work["steps"]:
        yield PRODUCTS, step["passes"] / step["tokens"] / planned
    if work["declared"]:
        yield TOKENS, work["tokens"] / work["declared"]


def _update(shares: Mapping[str, float], plan: Plan) -> Iterator[Confound]:
    """Where arms with other techniques than the baseline's multiply more, or less, in their updates."""
    base = shares.get(plan.baseline.name)
    if base is None:
        return
    plugins = {arm.name: set(arm.run.plugins) for arm in plan.study.arms}
    apart = [arm for arm in shares if plugins[arm] != plugins[plan.baseline.name]]
    apart = [arm for arm in apart if abs(shares[arm] - base) > MORE - 1]
    if apart:
        values = {arm: f"{share:.3g} of its passes" for arm, share in shares.items()}
        yield Confound(setting=UPDATE, values=values, why=dict.fromkeys(apart, "technique"))


def _confound(what: str, shares: Mapping[str, float], baseline: str) -> Iterator[Confound]:
    over = [arm for arm, share in shares.items() if share > MORE]
    if over:
        values = {arm: f"{share:.3g} of the plan" for arm, share in shares.items()}
        # Where the baseline does more than planned, all others differ from it.
        arms = [arm for arm in shares if arm != baseline] if baseline in over else over
        yield Confound(setting=what, values=values, why=dict.fromkeys(arms, "rest"))
