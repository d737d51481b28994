"""A study is declared in the ledger before its first run; whatever changes later is on record too."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.errors import CoreGPTError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.planning import chain
from coregpt.lab.planning.alike import known_alike
from coregpt.lab.planning.by_hand import chosen
from coregpt.lab.records.amendment import WATCHED, amendments
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Entry, Event, Ledger
from coregpt.lab.records.losses import outcome
from coregpt.lab.records.older import why_older
from coregpt.lab.records.owner import place
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.identity import canonical, settled
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.registry import Catalogue


def register(plan: Plan, store: Path, *, trials: bool = False) -> str:
    """Record the declaration unless it is the latest on record; returns why the study is exploratory, or "".

    `trials`: of settings, for a study that is announced already, and no study of a chain.

    A study is exploratory once its declaration changed after a run had started, the code of one of its techniques
    changed after results of it were there, results were there before it was declared, its seeds were chosen among
    those whose results were known, or runs came from elsewhere.
    Raises LedgerError if the ledger is broken, and ConfigError for a study that its chain does not take.
    """
    ledger = Ledger.of(store)
    with ledger.locked():
        if not trials:
            chain.enter(plan.study, plan.source.digest, ledger)
        note_complete_runs(plan, store, ledger)
        declare(plan, ledger, trials=trials)
    return exploratory(plan.study, store)


def exploratory(study: Study, store: Path) -> str:
    """Why a study's verdicts are not confirmatory, by the ledger as it is now; "" if they are."""
    return History(Ledger.of(store).read(), study.name).exploratory()


def announce(study: Study, trials: Plan, store: Path) -> None:
    """Record the declaration of a study whose runs are known only after those of `trials`; they come as `replanned`.

    Raises LedgerError if the ledger is broken, and ConfigError for a study that its chain does not take.
    """
    ledger = Ledger.of(store)
    with ledger.locked():
        chain.enter(study, trials.source.digest, ledger)
        declared = History(ledger.read(), study.name).declared
        now = code(trials)
        if not declared or amended(declared[-1], study, now):
            event: Event = "amended" if declared else "declared"
            facts = {"declaration": study.preregistration(), "unsaid": unsaid(study), "code": now, "runs": []}
            at = place(study, ledger.path.parent)
            ledger.add(event, study=study.name, digest=study.digest, place=at, **facts)


def note_complete_runs(plan: Plan, store: Path, ledger: Ledger) -> None:
    """Enter runs whose end the ledger missed: their launcher was killed, or the folder came from elsewhere."""
    entries = ledger.read()
    started = {entry["run"] for entry in entries if entry.event == "started"}
    complete = {entry["run"] for entry in entries if entry.event in ("ended", "found")}
    earlier = History(entries, plan.study.name).cells
    for run, (arm, seed) in {**earlier, **{run.id: (run.arm, run.seed) for run in plan.runs}}.items():
        result = RunFolder(store / run).result() if run not in complete else None
        if result is not None:
            event: Event = "ended" if run in started else "found"
            ledger.add(event, study=plan.study.name, run=run, arm=arm, seed=seed, **outcome(result))


def declare(plan: Plan, ledger: Ledger, *, trials: bool = False) -> None:
    """Append what is new: a first declaration, another one, or other run ids or watched outcomes for the same one."""
    study = plan.study
    history = History(ledger.read(), study.name)
    runs = {run.id: (run.arm, run.seed) for run in plan.runs}
    last, now = (history.declared[-1] if history.declared else None), code(plan)
    changed = last is not None and amended(last, study, now)
    if last is not None and not changed and {run for run, *_ in last["runs"]} == set(runs) and _as_watched(last, study):
        return
    event: Event = "declared" if last is None else "amended" if changed else "replanned"
    by_hand = {} if trials else chosen(plan, ledger)
    alike, earlier = ([], []) if trials or changed else known_alike(plan, ledger.path.parent)
    ledger.add(
        event,
        study=study.name,
        digest=study.digest,
        place=place(study, ledger.path.parent),
        declaration=study.preregistration(),
        unsaid=unsaid(study),
        code=now,
        runs=[[run, *cell] for run, cell in runs.items()],
        **({"by_hand": by_hand} if by_hand else {}),
        **({"alike": alike} if alike else {}),
        **({"earlier": earlier} if earlier and last is None else {}),
        **({"as_needed": True} if any(design.expected(plan) is not None for design in DESIGNS) else {}),
    )
    noted = {entry["run"] for entry in history.entries if entry.event == "superseded"}
    for past, successor in history.superseded(runs):
        if successor and past.id not in noted:
            ledger.add("superseded", study=study.name, run=past.id, by=successor, arm=past.arm, seed=past.seed)


def amended(before: Entry, study: Study, now: Mapping[str, Any]) -> bool:
    """Whether a study is not what was declared; its data may lie elsewhere, and versions may know more settings."""
    declaration = json.loads(canonical(study.preregistration()))  # as the ledger gives it back
    known = before.get("unsaid") or {}, unsaid(study)
    return bool(amendments(before["declaration"], declaration, before["code"]["data"] == now["data"], known))


def _as_watched(last: Entry, study: Study) -> bool:
    now = json.loads(canonical(study.preregistration()))  # as the ledger gives it back
    return bool(last["declaration"].get(WATCHED) == now.get(WATCHED))


def unsaid(study: Study) -> dict[str, dict[str, Any]]:
    """By technique the options that may be left out, each with the value that it has then."""
    found: dict[str, dict[str, Any]] = {}
    for arm in study.written:
        for name, options in arm.run.plugins.items():
            found[name] = dict(_left_out(study.catalogue, name, options))
    plain: dict[str, dict[str, Any]] = json.loads(canonical(found))  # as the ledger gives it back
    return plain


def _left_out(catalogue: Catalogue, name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in options:
        others = {other: value for other, value in options.items() if other != key}
        with contextlib.suppress(ValidationError, CoreGPTError):  # it must be said, or beside the others it must
            yield key, settled(catalogue.instance(name, others).model_dump(mode="json")[key])


def older_lines(plan: Plan, store: Path) -> list[str]:
    """What to say of runs that the study had under an older identity. Raises LedgerError for a broken ledger."""
    history = History(Ledger.of(store).read(), plan.study.name)
    runs = {run.id: (run.arm, run.seed) for run in plan.runs}
    now = {"declaration": json.loads(canonical(plan.study.preregistration())), "unsaid": unsaid(plan.study)}
    return why_older(history, runs, {**now, "code": code(plan)})


def code(plan: Plan) -> dict[str, Any]:
    """Digests of all that can change a number and is not declared in words."""
    plugins: dict[str, str] = {}
    for run in plan.runs:
        plugins |= run.record["plugins"]
    return {"engine": plan.runs[0].record["engine"], "data": data_digest(plan), "plugins": plugins}


def data_digest(plan: Plan) -> str:
    """Of the data of all arms; where they have the same, that of a run."""
    by_arm = {arm.name: plan.source_of(arm.name).digest for arm in plan.study.arms}
    if len(set(by_arm.values())) <= 1:
        return plan.source.digest
    return hashlib.sha256(canonical(by_arm)).hexdigest()
