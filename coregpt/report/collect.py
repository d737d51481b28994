"""From run folders to the facts a report is made of. Reads, and decides nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coregpt.lab.designs.fork import begun_with
from coregpt.lab.designs.history import borrowed
from coregpt.lab.designs.match import matched_on
from coregpt.lab.designs.modes import mode_of
from coregpt.lab.execute import decisions
from coregpt.lab.planning.preregister import code
from coregpt.lab.records.history import History, Past
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.records.store import Row, RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import changes, differences
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.report.collect_rule import early_decisions
from coregpt.report.gathering import nothing_is_garbage
from coregpt.report.inputs import (
    ArmFacts,
    Confound,
    CurvePoint,
    DataFacts,
    Decided,
    EnvironmentFacts,
    ForkFacts,
    OtherRun,
    PriorFacts,
    RunFacts,
    RunStatus,
    RunTiming,
    StudyFacts,
    TrunkFacts,
)


@nothing_is_garbage()
def collect(plan: Plan, store: Path, exploratory: str = "") -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study, of every planned run, complete or not, and of every other run the ledger has of it."""
    past, broken = _ledger(plan, store)
    facts = [run_facts(run, plan, store) for run in plan.runs]
    checked = [_with_whole_curve(_against_ledger(run, past.get(run.run_id), broken)) for run in facts]
    checked = _of_one_trunk(checked, plan, store)
    return study_facts(plan, store, exploratory).model_copy(update=_ledger_facts(plan, store, past)), checked


def _ledger(plan: Plan, store: Path) -> tuple[dict[str, Past], str]:
    """Every run ever started for the study, by id; and what is wrong with the ledger."""
    try:
        return {past.id: past for past in History(Ledger.of(store).read(), plan.study.name).runs()}, ""
    except LedgerError as error:
        return {}, str(error)


def _ledger_facts(plan: Plan, store: Path, past: Mapping[str, Past]) -> dict[str, Any]:
    if not past:
        return {}
    history = History(Ledger.of(store).read(), plan.study.name)
    others = history.superseded({run.id: (run.arm, run.seed) for run in plan.runs})
    return {
        "started": tuple(past),
        "decided": tuple(Decided(arm=arm, pairs=n, decision=how) for arm, n, how in decisions.noted(plan, store)),
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


def _against_ledger(run: RunFacts, past: Past | None, broken: str) -> RunFacts:
    """A run whose result is not the one on record has no outcome that counts."""
    wrong = f"the ledger is broken: {broken}" if broken else ""
    if past is not None:
        seen = {"first_started": past.first_started, "attempts": past.attempts}
        run = run.model_copy(update={"timing": run.timing.model_copy(update=seen)})
        complete = run.status in ("finished", "diverged")
        if (
            past.status in ("finished", "diverged")
            and complete
            and (past.status, past.value) != (run.status, run.value)
        ):
            wrong = f"its result.json says {run.status}, {run.value}; the ledger recorded {past.status}, {past.value}"
        wrong = past.contradiction or wrong
    return run.model_copy(update={"status": "failed", "value": None, "reason": wrong}) if wrong else run


def _with_whole_curve(run: RunFacts) -> RunFacts:
    """A log that does not end with the run's result was cut off or edited; half a curve is not shown as one."""
    if run.status != "finished" or (run.curve and run.curve[-1].value == run.value):
        return run
    reason = "its metrics.jsonl does not end with its result; delete the folder to repeat the run"
    return run.model_copy(update={"status": "failed", "value": None, "reason": reason})


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
        hypothesis=study.hypothesis,
        direction=study.direction,
        equal=study.equal,
        match=matched_on(study) or "",
        screen=test.screen,
        prior=_prior(study),
        **early_decisions(plan, store),
        target=test.target,
        yardstick=next((arm.name for arm in study.arms if not arm.compared), ""),
        mode=mode_of(study) or "",
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
        + _compiled(plan, store),
        data=_data(plan),
        environment=environment(plan, store),
    )


def _prior(study: Study) -> PriorFacts | None:
    found = borrowed(study)
    if found is None:
        return None
    return PriorFacts(variance=found.prior.variance, df=found.df, files=dict(found.files))


def _command(study: Study) -> str:
    """What a reader types beside the study file; a path of this machine would mean nothing to them."""
    path = study.path.name if study.path.is_absolute() else study.path
    return f"coregpt ablate {path}" + (f" --scale {study.scale}" if study.scale else "")


def run_facts(run: PlannedRun, plan: Plan, store: Path) -> RunFacts:
    """One run as it stands on disk."""
    folder = RunFolder(store / run.id)
    result, error = folder.result(), folder.error()
    if result is not None and folder.config()["config"] != run.record["config"]:
        result, error = None, {"message": "its config.json is not the planned one: seeds are all that may differ"}
    rows = [row for row in folder.rows() if "val_loss" in row]
    facts: dict[str, Any] = {
        "run_id": run.id,
        "arm": run.arm,
        "seed": run.seed,
        "curve": tuple(
            CurvePoint(int(row["step"]), int(row["tokens"]), flops, row["val_loss"])
            for row, flops in zip(rows, _flops(plan, run, rows), strict=True)
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


def _flops(plan: Plan, run: PlannedRun, rows: Sequence[Row]) -> list[float]:
    """Spent on this run until each row of its log; a branch was the baseline until the fork."""
    own, base = plan.costs[run.arm].flops_per_token, plan.costs[plan.baseline.name].flops_per_token
    tokens = [row["tokens"] for row in rows]
    if own == base:
        return [spent * own for spent in tokens]
    shared = [min(spent, plan.trunk_tokens) for spent in tokens]
    return [both * base + (spent - both) * own for spent, both in zip(tokens, shared, strict=True)]


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


def _compiled(plan: Plan, store: Path) -> tuple[Confound, ...]:
    """How many complete runs of each arm were compiled as asked, if only some of all were: numbers differ a little."""
    alike: dict[str, list[bool]] = {}
    for run in plan.runs:
        result = RunFolder(store / run.id).result() if run.config.compile else None
        if result is not None:
            alike.setdefault(run.arm, []).append(
                not any(note.startswith("not compiled") for note in result.get("notes", ()))
            )
    if len({each for found in alike.values() for each in found}) < 2:
        return ()
    values = {arm: f"{sum(found)} of {len(found)}" for arm, found in alike.items()}
    return (Confound(setting="compiled runs", values=values),)


def _who(arms_of: Mapping[str, set[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(sorted(arms))})" for value, arms in sorted(arms_of.items()))


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
