"""Every planned run as it stands on disk, held against the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coregpt.lab.records.history import History, Past
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.records.store import Row, RunFolder
from coregpt.lab.study.identity import counted
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.report.facts.inputs import CurvePoint, RunFacts, RunStatus, RunTiming


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
    found = [run_facts(run, plan, store) for run in plan.runs]
    return [_with_whole_curve(_against_ledger(run, seen.past.get(run.run_id), seen.broken)) for run in found]


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


def run_facts(run: PlannedRun, plan: Plan, store: Path) -> RunFacts:
    """One run as it stands on disk."""
    folder = RunFolder(store / run.id)
    result, error = folder.result(), folder.error()
    if result is not None and counted(folder.config()["config"]) != counted(run.record["config"]):
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
