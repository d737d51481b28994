"""From run folders to the facts a report is made of. Reads, and decides nothing."""

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coregpt.contract.errors import PluginError
from coregpt.lab.guard.planted import refuse_planted
from coregpt.lab.judging.judge import sealed_tokens
from coregpt.lab.planning.credit import Difference, credited, departures
from coregpt.lab.planning.enough import pass_tokens
from coregpt.lab.planning.preregister import code
from coregpt.lab.planning.untuned import untuned
from coregpt.lab.records.history import History, Past
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.losses import METRIC
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import changes
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.text_unit import evaluated, trained_bytes
from coregpt.report.designs.collectors import COLLECTORS
from coregpt.report.facts.gathering import nothing_is_garbage
from coregpt.report.facts.inputs import ArmFacts, Confound, DataFacts, StudyFacts
from coregpt.report.facts.runs import OtherRun, RunFacts
from coregpt.report.reading.environment import compiled, environment
from coregpt.report.reading.runs import collect_runs, curves_of, ledger_of
from coregpt.report.reading.work import worked


@nothing_is_garbage()
def collect(plan: Plan, store: Path, exploratory: str = "") -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study, of every planned run, complete or not, and of every other run the ledger has of it.

    Raises PluginError where a technique, which planning has imported into this process, has replaced what reads them.
    """
    refuse_planted(_sources(plan))
    seen = ledger_of(plan, store)
    runs = collect_runs(plan, store, seen)
    for each in COLLECTORS:
        runs = each.checked(runs, plan, store)
    return study_facts(plan, store, exploratory).model_copy(update=_ledger_facts(plan, store, seen.past)), runs


def _sources(plan: Plan) -> set[Path]:
    """Every file of a technique of the study, and all that one imports."""
    catalogue, found = plan.study.catalogue, set[Path]()
    for name in {name for arm in plan.study.arms for name in arm.run.plugins}:
        found.add(catalogue.source(name))
        with contextlib.suppress(PluginError, OSError):  # gone since
            found |= set(catalogue.imports(name).files.values())
    return found


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
    work, uncounted = worked(plan, store)
    ours = foreign(plan.baseline.run) is None
    of_designs: dict[str, Any] = {}
    for each in COLLECTORS:
        of_designs |= each.facts(plan, store)
    return StudyFacts(
        name=study.name,
        question=study.question,
        baseline=test.baseline,
        arms=_arms(plan, store),
        metric=METRIC[study.reads] if ours and test.metric == "val_loss" else test.metric,
        reads=study.reads if ours else None,
        curves=curves_of(plan.runs[0].config) if ours else None,
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
        + work,
        untuned=untuned(plan) or None,
        departures=tuple(departures(plan)) or None,
        pilot=test.pilot or None,
        data=_data(plan),
        environment=environment(plan, store, uncounted),
        **of_designs,
    )


def _command(study: Study) -> str:
    """What a reader types beside the study file; a path of this machine would mean nothing to them."""
    path = study.path.name if study.path.is_absolute() else study.path
    return shlex.join(["coregpt", "ablate", str(path), *(["--scale", study.scale] if study.scale else [])])


def _arms(plan: Plan, store: Path) -> tuple[ArmFacts, ...]:
    return tuple(
        ArmFacts(
            name=arm.name,
            description=changes(arm, plan.baseline, plan.study.arms),
            plugins=arm.run.plugins,
            **(_sizes(plan, arm.name) if foreign(arm.run) is None else _reported(plan, store, arm.name)),
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


def _sizes(plan: Plan, arm: str) -> dict[str, Any]:
    cost = plan.costs[arm]
    counted = {"parameters": cost.parameters, "flops_per_token": cost.flops_per_token, "tokens": cost.tokens}
    return {**counted, "steps": cost.steps}


def _reported(plan: Plan, store: Path, arm: str) -> dict[str, Any]:
    """What the finished runs of a program said of themselves, where all agree; steps are those of the longest."""
    results = [RunFolder(store / run.id).result() for run in plan.runs if run.arm == arm]
    done = [result for result in results if result and result["status"] == "finished"]
    said = [result.get("reported", {}) for result in done]

    def alike(*names: str) -> float | None:
        values = {next((each[name] for name in names if name in each), None) for each in said}
        return next(iter(values)) if len(values) == 1 else None

    parameters, tokens, flops = alike("params", "parameters"), alike("tokens"), alike("flops")
    return {
        "parameters": None if parameters is None else int(parameters),
        "tokens": None if tokens is None else int(tokens),
        "flops_per_token": flops / tokens if flops and tokens else None,
        "steps": max((int(result["steps"]) for result in done), default=0),
    }


def _data(plan: Plan) -> DataFacts:
    if foreign(plan.baseline.run) is not None:
        name, digest, rule = plan.source.name, plan.source.digest, "as the program has it"
        nothing = {"train_tokens": None, "val_tokens": None, "eval_tokens": None}
        return DataFacts(name=name, sha256=digest, split_rule=rule, **nothing)
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
