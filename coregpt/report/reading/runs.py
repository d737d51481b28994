"""Every planned run as it stands on disk, held against the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from coregpt.contract.config import RunConfig
from coregpt.lab.execute.allowance import allowance_of, too_long, trained
from coregpt.lab.records import losses
from coregpt.lab.records.history import History, Past
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.records.store import Row, RunFolder
from coregpt.lab.study.declaration import Stream
from coregpt.lab.study.identity import counted
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.report.facts.runs import CurvePoint, RunFacts, RunStatus, RunTiming


@dataclass(frozen=True)
class Seen:
    """What the ledger has of a study: every run ever started, by id; and what is wrong with it, empty if nothing is."""

    past: Mapping[str, Past]
    broken: str = ""


def ledger_of(plan: Plan, store: Path) -> Seen:
    """Everything recorded for the study; a broken ledger is told of, not raised."""
    try:
        return Seen({past.id: past for past in History(Ledger.of(store).read(), plan.study.name).runs()})
    except LedgerError as error:
        return Seen({}, str(error))


def collect_runs(plan: Plan, store: Path, seen: Seen) -> list[RunFacts]:
    """Facts of every planned run, complete or not."""
    return [run_facts(run, plan, store, seen) for run in plan.runs]


def run_facts(run: PlannedRun, plan: Plan, store: Path, seen: Seen) -> RunFacts:
    """One run as it stands on disk and in the ledger."""
    folder = RunFolder(store / run.id)
    result, error = folder.result(), folder.error()
    if result is not None and counted(folder.config()["config"]) != counted(run.record["config"]):
        result, error = None, {"message": "its config.json is not the planned one: seeds are all that may differ"}
    log, past = folder.rows(), seen.past.get(run.id)
    rows = losses.along(log, curves_of(run.config))
    facts: dict[str, Any] = {"run_id": run.id, "arm": run.arm, "seed": run.seed, "curve": _curve(plan, run, rows)}
    timing = RunTiming(
        seconds=tuple(row["seconds"] for row in rows),
        first_started=past.first_started if past else "",
        attempts=past.attempts if past else None,
    )
    if result is None:
        status: RunStatus = "failed" if error else "missing"
        reason = str(error["message"]) if error else "this run is not complete"
    else:
        status, reason = result["status"], result["reason"]
        measured = ("tokens_per_second", "train_seconds", "compile_seconds", "peak_memory_bytes")
        timing = timing.model_copy(update={key: result[key] for key in measured})
    wrong = _doubt(result, log, past, seen.broken) or (_over(run, plan, store) if result else "")
    if wrong:
        return RunFacts(**facts, status="failed", reason=wrong, timing=timing)
    if status == "finished" and result is not None:
        facts["value"] = result[losses.RESULT[plan.study.reads]]
        if plan.study.reads == "held_out" and foreign(run.config) is None:
            facts |= {"select": result["select"], "sealed": result.get("sealed")}
    return RunFacts(**facts, status=status, reason=reason, timing=timing)


def _over(run: PlannedRun, plan: Plan, store: Path) -> str:
    """Why a complete run took longer than the study allows every run, whichever study had it trained."""
    allowance = allowance_of(plan.study)
    return too_long(trained(run, plan, store), allowance) if allowance.seconds_per_run else ""


def curves_of(config: RunConfig) -> Stream:
    """What the learning curve of a run was evaluated on: `held_out` only where its steps are part of the question."""
    return "held_out" if config.held_out_curve else "select"


def _doubt(result: Mapping[str, Any] | None, log: list[Row], past: Past | None, broken: str) -> str:
    """Why a run has no outcome that counts, whatever its result says; empty if it may count.

    A result that is not the one on record, or a log that does not end with the run's result: it was cut off or edited,
    and half a curve is not shown as one.
    """
    if past is not None and past.contradiction:
        return past.contradiction
    if result is not None and past is not None and past.status in ("finished", "diverged"):
        says, were = losses.outcome(result), {"status": past.status, "value": past.value, "select": past.select}
        if says != were:
            told = (", ".join(str(each[key]) for key in were) for each in (says, were))
            return "its result.json says {}; the ledger recorded {}".format(*told)
    if broken:
        return f"the ledger is broken: {broken}"
    if result is None or result["status"] != "finished":
        return ""
    for stream in get_args(Stream):
        last = losses.along(log, stream)[-1:]
        if not last or last[0][losses.METRIC[stream]] != result[losses.RESULT[stream]]:
            return "its metrics.jsonl does not end with its result; delete the folder to repeat the run"
    return ""


def _curve(plan: Plan, run: PlannedRun, rows: Sequence[Row]) -> tuple[CurvePoint, ...]:
    metric = losses.METRIC[curves_of(run.config)]
    if foreign(run.config) is not None:
        return tuple(CurvePoint(int(row["step"]), int(row["tokens"]) or None, None, row[metric]) for row in rows)
    spent = zip(rows, _flops(plan, run, rows), strict=True)
    return tuple(CurvePoint(int(row["step"]), int(row["tokens"]), flops, row[metric]) for row, flops in spent)


def _flops(plan: Plan, run: PlannedRun, rows: Sequence[Row]) -> list[float]:
    """Spent on this run until each row of its log; a branch was the baseline until the fork."""
    own, base = plan.costs[run.arm].flops_per_token, plan.costs[plan.baseline.name].flops_per_token
    tokens = [row["tokens"] for row in rows]
    if own == base:
        return [spent * own for spent in tokens]
    shared = [min(spent, plan.trunk_tokens) for spent in tokens]
    return [both * base + (spent - both) * own for spent, both in zip(tokens, shared, strict=True)]
