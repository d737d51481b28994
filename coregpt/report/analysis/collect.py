"""From run folders to the facts a report is made of. Reads, and decides nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.lab.designs.fork import begun_with
from coregpt.lab.planning.preregister import code
from coregpt.lab.records.history import History, Past
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import changes, differences
from coregpt.lab.study.outline import Plan
from coregpt.report.designs.collectors import COLLECTORS
from coregpt.report.facts.gathering import nothing_is_garbage
from coregpt.report.facts.inputs import (
    ArmFacts,
    Confound,
    DataFacts,
    ForkFacts,
    OtherRun,
    RunFacts,
    StudyFacts,
    TrunkFacts,
)
from coregpt.report.reading.environment import compiled, environment
from coregpt.report.reading.runs import collect_runs, ledger_of


@nothing_is_garbage()
def collect(plan: Plan, store: Path, exploratory: str = "") -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study, of every planned run, complete or not, and of every other run the ledger has of it."""
    seen = ledger_of(plan, store)
    runs = _of_one_trunk(collect_runs(plan, store, seen), plan, store)
    for each in COLLECTORS:
        runs = each.checked(runs, plan, store)
    return study_facts(plan, store, exploratory).model_copy(update=_ledger_facts(plan, store, seen.past)), runs


def _ledger_facts(plan: Plan, store: Path, past: Mapping[str, Past]) -> dict[str, Any]:
    if not past:
        return {}
    history = History(Ledger.of(store).read(), plan.study.name)
    others = history.superseded({run.id: (run.arm, run.seed) for run in plan.runs})
    return {
        "started": tuple(past),
        "other_runs": tuple(
            OtherRun(
                run_id=run.id,
                arm=run.arm,
                seed=run.seed,
                status=run.status,
                value=run.value,
                reason=f"superseded by {by}" if by else "no longer planned",
            )
            for run, by in others
        ),
    }


def study_facts(plan: Plan, store: Path, exploratory: str) -> StudyFacts:
    study, test = plan.study, plan.study.criterion
    of_designs: dict[str, Any] = {}
    for each in COLLECTORS:
        of_designs |= each.facts(plan, store)
    return StudyFacts(
        name=study.name,
        question=study.question,
        baseline=test.baseline,
        arms=_arms(plan),
        metric=test.metric,
        unit=f"nats per {plan.source.unit}",
        alpha=test.alpha,
        margin=test.margin,
        power=test.power,
        seeds=study.seeds,
        assumed_sd=test.sd,
        hypothesis=study.hypothesis,
        direction=study.direction,
        equal=study.equal,
        screen=test.screen,
        target=test.target,
        mode=study.mode or "",
        techniques=study.techniques,
        fork=_fork(plan, store),
        declaration=study.preregistration(),
        code=code(plan),
        exploratory=exploratory,
        scale=study.scale,
        digest=study.digest,
        command=_command(study),
        confounds=tuple(
            Confound(setting=setting, values=values) for setting, values in differences(study, plan.derived)
        )
        + compiled(plan, store),
        data=_data(plan),
        environment=environment(plan, store),
        **of_designs,
    )


def _command(study: Study) -> str:
    """What a reader types beside the study file; a path of this machine would mean nothing to them."""
    path = study.path.name if study.path.is_absolute() else study.path
    return f"coregpt ablate {path}" + (f" --scale {study.scale}" if study.scale else "")


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


def _arms(plan: Plan) -> tuple[ArmFacts, ...]:
    return tuple(
        ArmFacts(
            name=arm.name,
            description=changes(arm, plan.baseline, plan.study.arms),
            plugins=arm.run.plugins,
            parameters=plan.costs[arm.name].parameters,
            flops_per_token=plan.costs[arm.name].flops_per_token,
            tokens=plan.costs[arm.name].tokens,
            steps=plan.costs[arm.name].steps,
        )
        for arm in plan.study.arms
    )


def _data(plan: Plan) -> DataFacts:
    facts = plan.source.facts()
    return DataFacts(
        name=plan.source.name,
        sha256=plan.source.digest,
        train_tokens=len(plan.source.train),
        val_tokens=len(plan.source.val),
        eval_tokens=plan.study.arms[0].run.eval_tokens,
        split_rule=str(facts.get("split", "training and validation are separate shards")),
    )
