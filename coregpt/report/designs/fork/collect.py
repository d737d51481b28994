"""The trunk of each seed, and whether every branch began with it."""

from pathlib import Path
from typing import Any

from coregpt.lab.records.store import RunFolder
from coregpt.lab.records.trunk import begun_with
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import ForkFacts, TrunkFacts
from coregpt.report.facts.runs import RunFacts
from coregpt.report.reading.collector import Collector


class Fork(Collector):
    """Where arms branch, and from what."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"fork": _fork(plan, store)}

    def checked(self, runs: list[RunFacts], plan: Plan, store: Path) -> list[RunFacts]:
        return _of_one_trunk(runs, plan, store)


def _fork(plan: Plan, store: Path) -> ForkFacts | None:
    """The state that the branches of each seed began with, which the baseline's branch says."""
    if not plan.trunks:
        return None
    began = {run.seed: begun_with(RunFolder(store / run.id)) for run in plan.runs if run.arm == plan.baseline.name}
    trunks = (TrunkFacts(run_id=trunk.id, seed=trunk.seed, state=began[trunk.seed]) for trunk in plan.trunks)
    return ForkFacts(step=plan.trunk_step, tokens=plan.trunk_tokens, trunks=tuple(trunks))


def _of_one_trunk(runs: list[RunFacts], plan: Plan, store: Path) -> list[RunFacts]:
    """A branch that began with another state than the baseline's of its seed is no pair with it."""
    if not plan.trunks:
        return runs
    began = {run.run_id: begun_with(RunFolder(store / run.run_id)) for run in runs}
    base = {run.seed: began[run.run_id] for run in runs if run.arm == plan.baseline.name}
    reason = "it began with another state of the trunk than the baseline; delete both folders to repeat them"
    failed = {"status": "failed", "value": None, "reason": reason}
    return [run if began[run.run_id] in ("", base[run.seed]) else run.model_copy(update=failed) for run in runs]
