"""From run folders to the facts a report is made of. Reads, and decides nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.lab.differences import changes, differences
from coregpt.lab.store import RunFolder
from coregpt.lab.study import Plan, PlannedRun
from coregpt.report.inputs import (
    ArmFacts,
    Confound,
    CurvePoint,
    DataFacts,
    EnvironmentFacts,
    RunFacts,
    RunStatus,
    RunTiming,
    StudyFacts,
)


def collect(plan: Plan, store: Path, exploratory: str = "") -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study and of every planned run, complete or not."""
    return study_facts(plan, store, exploratory), [run_facts(run, plan, store) for run in plan.runs]


def study_facts(plan: Plan, store: Path, exploratory: str) -> StudyFacts:
    study, test = plan.study, plan.study.criterion
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
        exploratory=exploratory,
        scale=study.scale,
        digest=study.digest,
        command=f"coregpt ablate {study.path}" + (f" --scale {study.scale}" if study.scale else ""),
        confounds=tuple(
            Confound(setting=setting, values=values) for setting, values in differences(study, plan.derived)
        ),
        data=_data(plan),
        environment=environment(plan, store),
    )


def run_facts(run: PlannedRun, plan: Plan, store: Path) -> RunFacts:
    """One run as it stands on disk."""
    folder = RunFolder(store / run.id)
    result, error = folder.result(), folder.error()
    rows = [row for row in folder.rows() if "val_loss" in row]
    per_token = plan.costs[run.arm].flops_per_token
    facts: dict[str, Any] = {
        "run_id": run.id,
        "arm": run.arm,
        "seed": run.seed,
        "curve": tuple(
            CurvePoint(int(row["step"]), int(row["tokens"]), row["tokens"] * per_token, row["val_loss"]) for row in rows
        ),
    }
    seconds = tuple(row["seconds"] for row in rows)
    if result is None:
        status: RunStatus = "failed" if error else "missing"
        reason = str(error["message"]) if error else "this run is not complete"
        return RunFacts(**facts, status=status, reason=reason, timing=RunTiming(seconds=seconds))
    timing = RunTiming(
        tokens_per_second=result["tokens_per_second"],
        train_seconds=result["train_seconds"],
        compile_seconds=result["compile_seconds"],
        peak_memory_bytes=result["peak_memory_bytes"],
        seconds=seconds,
    )
    return RunFacts(**facts, status=result["status"], value=result["value"], reason=result["reason"], timing=timing)


def environment(plan: Plan, store: Path) -> EnvironmentFacts:
    """What the runs were computed with, and a warning for everything that was not the same for all of them."""
    by_key: dict[str, dict[str, set[str]]] = {}
    warnings = []
    for run in plan.runs:
        folder = RunFolder(store / run.id)
        for key, value in folder.environment().items():
            by_key.setdefault(key, {}).setdefault(value, set()).add(run.arm)
        warnings += [f"{run.arm}, seed {run.seed}: {note}" for note in (folder.result() or {}).get("notes", ())]
    for key, arms_of in sorted(by_key.items()):
        if len(arms_of) > 1:
            warnings.append(f"{key} differs between runs: {_who(arms_of)}")
    values = {key: " / ".join(sorted(arms_of)) for key, arms_of in by_key.items()}
    return EnvironmentFacts(values=values, warnings=tuple(warnings))


def _who(arms_of: Mapping[str, set[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(sorted(arms))})" for value, arms in sorted(arms_of.items()))


def _arms(plan: Plan) -> tuple[ArmFacts, ...]:
    return tuple(
        ArmFacts(
            name=arm.name,
            description=changes(arm, plan.baseline),
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
