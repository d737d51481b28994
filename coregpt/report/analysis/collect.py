"""From run folders to the facts a report is made of. Reads, and decides nothing."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coregpt.lab.designs.bits import evaluated, trained_bytes
from coregpt.lab.execute.judge import sealed_tokens
from coregpt.lab.planning.credit import Difference, credited, departures
from coregpt.lab.planning.enough import pass_tokens
from coregpt.lab.planning.preregister import code
from coregpt.lab.planning.untuned import untuned
from coregpt.lab.records.history import History, Past
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.losses import METRIC
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import changes
from coregpt.lab.study.outline import Plan
from coregpt.report.designs.collectors import COLLECTORS
from coregpt.report.facts.gathering import nothing_is_garbage
from coregpt.report.facts.inputs import ArmFacts, Confound, DataFacts, StudyFacts
from coregpt.report.facts.runs import OtherRun, RunFacts
from coregpt.report.reading.environment import compiled, environment
from coregpt.report.reading.runs import collect_runs, curves_of, ledger_of
from coregpt.report.reading.work import worked


@nothing_is_garbage()
def collect(plan: Plan, store: Path, exploratory: str = "") -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study, of every planned run, complete or not, and of every other run the ledger has of it."""
    seen = ledger_of(plan, store)
    runs = collect_runs(plan, store, seen)
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
    study, test, differing = plan.study, plan.study.criterion, credited(plan)
    of_designs: dict[str, Any] = {}
    for each in COLLECTORS:
        of_designs |= each.facts(plan, store)
    return StudyFacts(
        name=study.name,
        question=study.question,
        baseline=test.baseline,
        arms=_arms(plan),
        metric=METRIC[study.reads] if test.metric == "val_loss" else test.metric,
        reads=study.reads,
        curves=curves_of(plan.runs[0].config),
        unit=plan.unit,
        alpha=test.alpha,
        margin=test.margin,
        power=test.power,
        seeds=study.seeds,
        assumed_sd=test.sd,
        hypothesis=study.hypothesis,
        direction=study.direction,
        equal=study.equal,
        screen=test.screen,
        inert=study.inert or None,
        declaration=study.preregistration(),
        code=code(plan),
        exploratory=exploratory,
        scale=study.scale,
        digest=study.digest,
        command=_command(study),
        confounds=tuple(Confound(setting=d.setting, values=d.values, why=dict(d.why)) for d in differing)
        + texts(plan, differing)
        + compiled(plan, store)
        + worked(plan, store),
        untuned=untuned(plan) or None,
        departures=tuple(departures(plan)) or None,
        pilot=test.pilot or None,
        data=_data(plan),
        environment=environment(plan, store),
        **of_designs,
    )


def _command(study: Study) -> str:
    """What a reader types beside the study file; a path of this machine would mean nothing to them."""
    path = study.path.name if study.path.is_absolute() else study.path
    return shlex.join(["coregpt", "ablate", str(path), *(["--scale", study.scale] if study.scale else [])])


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


def texts(plan: Plan, differing: Sequence[Difference]) -> tuple[Confound, ...]:
    """How much text arms with tokens of their own are trained on, credited as the tokens are."""
    why = next((each.why for each in differing if each.setting == "data.source"), {})
    found = {arm: f"{size:.3g}" for arm, size in trained_bytes(plan).items()}
    if len(set(found.values())) <= 1:
        return ()
    return (Confound(setting="bytes of text trained on, about", values=found, why=dict(why)),)


def _data(plan: Plan) -> DataFacts:
    facts, baseline = plan.source.facts(), plan.baseline
    tokens, size = evaluated(plan.source, baseline, plan.study.reads)
    return DataFacts(
        name=plan.source.name,
        sha256=plan.source.digest,
        train_tokens=len(plan.source.train),
        val_tokens=len(plan.source.held_out),
        select_tokens=len(plan.source.select),
        eval_tokens=tokens,
        eval_bytes=size,
        sealed_tokens=sealed_tokens(baseline.run, plan.source),
        pass_tokens=pass_tokens(plan),
        split_rule=str(facts.get("split", "training and validation are separate shards")),
    )
