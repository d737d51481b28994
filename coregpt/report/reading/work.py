"""What runs did, held against what was planned of them: products in a step, and tokens that the model was given."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import Confound

MORE = 1.02
"""Of what was planned: beyond it the work takes credit from the technique."""
PRODUCTS, TOKENS = "products in a step", "tokens through the model"


def worked(plan: Plan, store: Path) -> tuple[Confound, ...]:
    """Arms whose runs did more than their plan says. Runs where nothing was counted are not among them."""
    found: dict[str, dict[str, float]] = {PRODUCTS: {}, TOKENS: {}}
    for run in plan.runs:
        work = (RunFolder(store / run.id).result() or {}).get("work")
        for what, share in _shares(plan, run.arm, work) if work else ():
            found[what][run.arm] = max(share, found[what].get(run.arm, 0.0))
    return tuple(confound for what, shares in found.items() for confound in _confound(what, shares, plan.baseline.name))


def _shares(plan: Plan, arm: str, work: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    cost = plan.costs[arm]
    planned = max([stage.flops_per_token for stage in cost.stages] or [cost.flops_per_token])
    for step in work["steps"]:
        yield PRODUCTS, step["step"] / step["tokens"] / planned
    if work["declared"]:
        yield TOKENS, work["tokens"] / work["declared"]


def _confound(what: str, shares: Mapping[str, float], baseline: str) -> Iterator[Confound]:
    over = [arm for arm, share in shares.items() if share > MORE]
    if over:
        values = {arm: f"{share:.3g} of the plan" for arm, share in shares.items()}
        # Where the baseline does more than planned, all others differ from it.
        arms = [arm for arm in shares if arm != baseline] if baseline in over else over
        yield Confound(setting=what, values=values, why=dict.fromkeys(arms, "rest"))
