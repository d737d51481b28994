"""Run folders -> MLflow, after the fact. The only place that fills MLflow; it never fails anything.

Experiment = study; a parent run per preregistration with what came out for each arm, a child per run, and a child per
arm with the mean over its seeds. Mirroring twice adds nothing.
"""

import math
import re
import shlex
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coregpt.contract.errors import RunError
from coregpt.lab.records.aggregate import METRIC, band
from coregpt.lab.records.learning_rate import learning_rate
from coregpt.lab.records.store import RunFolder
from coregpt.lab.records.tracking import alone, artifacts, bring_along, client, database_uri, refuse_address, told
from coregpt.lab.study.differences import flatten
from coregpt.lab.study.outline import Plan, PlannedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
LONGEST_PARAM = 500
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
AGGREGATE = {"coregpt.aggregate": "mean over seeds"}
COMPLETE = {"coregpt.complete": "with files and learning rate"}
"""Of a run that was copied whole. One that an older version copied lacks some of it and is made anew."""
FILES = ("config.json", "env.json", "inputs.json", "metrics.jsonl", "result.json", "log.txt")
"""What of a run's folder goes along; weights stay where they are."""


@dataclass(frozen=True)
class Conclusion:
    """What a study came to, for its parent run: numbers by name, tags, and a text in Markdown."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def mirror(plan: Plan, store: Path, report: Path, came_to: Conclusion | None = None) -> str | None:
    """Copy complete runs and the report into MLflow; returns a warning if that failed, and nothing else does."""
    try:
        refuse_address(store)
        with warnings.catch_warnings(), alone(store):
            warnings.simplefilter("ignore")
            _Mirror(plan, store, client(database_uri(store))).copy(report, came_to)
    except Exception as error:  # tracking must never cost a result
        return f"not mirrored to MLflow: {told(error, store)} (results and report are complete without it)"
    return None


@dataclass
class _Known:
    """A run that MLflow has, and its tags; they are compared here, as a filter in MLflow's language cannot hold any."""

    id: str
    tags: dict[str, str]


class _Mirror:
    """One study and its experiment."""

    def __init__(self, plan: Plan, store: Path, tracking: "MlflowClient"):
        self.plan, self.store, self.client = plan, store, tracking
        name = plan.study.name
        found = tracking.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise RunError(_deleted(name, found.experiment_id, store))
        if found is not None:
            bring_along(store, name, found.artifact_location)
        self.experiment = found.experiment_id if found else tracking.create_experiment(name, artifacts(store, name))
        self.known = list(self.read())
        self.rates: dict[str, Callable[[int], float] | None] = {}

    def read(self) -> Iterator[_Known]:
        page = None
        while page != "":
            found = self.client.search_runs([self.experiment], page_token=page)
            yield from (_Known(run.info.run_id, dict(run.data.tags)) for run in found)
            page = found.token or ""

    def copy(self, report: Path, came_to: Conclusion | None) -> None:
        study = self.plan.study
        parent = self.find({"coregpt.digest": study.digest, "coregpt.kind": "study"})
        if parent is None:
            tags = {"coregpt.digest": study.digest, "coregpt.kind": "study", "coregpt.question": study.question}
            parent = self.create(study.name, tags, 0)
            self.params(parent, {"seeds": study.seeds, "scale": study.scale, **study.criterion.model_dump()})
        for run in self.plan.runs:
            folder = RunFolder(self.store / run.id)
            if folder.result() is not None:
                self.copy_run(run, folder, parent)
        for arm in self.plan.study.arms:
            self.copy_aggregate(arm.name, parent)
        if came_to is not None:  # who copies runs alone says nothing of what the study came to
            self.conclude(parent, came_to)
        self.client.log_artifacts(parent, str(report))
        self.client.set_terminated(parent, "FINISHED")

    def conclude(self, parent: str, came_to: Conclusion) -> None:
        """Verdicts and numbers of the whole study; one that there is no more becomes NaN, as MLflow forgets none."""
        from mlflow.entities import Metric  # takes over a second

        data, now = self.client.get_run(parent).data, round(1000 * time.time())
        gone = dict.fromkeys(data.metrics.keys() - set(map(_name, came_to.metrics)), math.nan)
        wanted = {**{_name(name): value for name, value in came_to.metrics.items()}, **gone}
        changed = [Metric(k, v, now, 0) for k, v in wanted.items() if not _same(v, data.metrics.get(k))]
        if changed:
            self.client.log_batch(parent, metrics=changed)
        tags = {_name(key): value for key, value in came_to.tags.items()} | (
            {NOTE: came_to.note} if came_to.note else {}
        )
        for key, value in tags.items():
            if data.tags.get(key) != value:
                self.client.set_tag(parent, key, value)

    def copy_run(self, run: PlannedRun, folder: RunFolder, parent: str) -> None:
        """A child is complete when it is tagged so; what an interrupted mirror left is made anew."""
        tags = {"coregpt.run": run.id, PARENT: parent}
        if self.find({**tags, **COMPLETE}):
            return
        while torn := self.find(tags):
            self.delete(torn)
        result, begun = folder.result() or {}, _milliseconds(folder.path / "config.json")
        own = {**tags, "coregpt.arm": run.arm, "coregpt.seed": str(run.seed), "coregpt.status": result["status"]}
        child = self.create(f"{run.arm}, seed {run.seed}", own, begun)
        self.params(child, flatten(run.config.model_dump(mode="json")))
        self.metrics(child, run, folder, begun)
        for name in FILES:
            if (folder.path / name).is_file():
                self.client.log_artifact(child, str(folder.path / name))
        self.tag(child, COMPLETE)
        status = "FINISHED" if result["status"] == "finished" else "FAILED"
        self.client.set_terminated(child, status, _milliseconds(folder.path / "result.json"))

    def copy_aggregate(self, arm: str, parent: str) -> None:
        """Mean and 95% interval over the complete runs of one arm; made anew when other runs are complete."""
        planned = [(run, RunFolder(self.store / run.id)) for run in self.plan.runs if run.arm == arm]
        results = {run.seed: folder.result() for run, folder in planned}
        runs = [(run, folder) for run, folder in planned if results[run.seed] is not None]
        if not runs:
            return
        tags = {**AGGREGATE, PARENT: parent, "coregpt.arm": arm}
        seeds = ", ".join(str(run.seed) for run, _ in runs)
        if self.find({**tags, "coregpt.seeds": seeds, "coregpt.complete": "yes"}):
            return
        while old := self.find(tags):
            self.delete(old)
        absent = _seeds(seed for seed, result in results.items() if result is None)
        diverged = _seeds(seed for seed, result in results.items() if result and result["status"] == "diverged")
        said = {"coregpt.left_out": f"{absent}: not complete"} if absent else {}
        said |= {"coregpt.diverged": diverged} if diverged else {}
        begun = min(_milliseconds(folder.path / "config.json") for _, folder in runs)
        made = self.create(f"{arm}, mean of seeds", {**tags, "coregpt.seeds": seeds, **said}, begun)
        self.band(made, [folder for _, folder in runs], begun)
        self.tag(made, {"coregpt.complete": "yes"})
        self.client.set_terminated(made, "FINISHED", max(_milliseconds(f.path / "result.json") for _, f in runs))

    def band(self, run: str, folders: list[RunFolder], begun: int) -> None:
        from mlflow.entities import Metric  # takes over a second

        made = [
            Metric(f"{METRIC}_{name}", value, begun + point.step, point.step)
            for point in band([folder.rows() for folder in folders])
            for name, value in (("mean", point.mean), ("low95", point.low), ("high95", point.high))
            if value is not None
        ]
        for batch in _batches(made, METRICS_PER_BATCH):
            self.client.log_batch(run, metrics=batch)

    def find(self, tags: Mapping[str, str]) -> str | None:
        return next((run.id for run in self.known if tags.items() <= run.tags.items()), None)

    def create(self, name: str, tags: dict[str, str], begun: int) -> str:
        run = self.client.create_run(self.experiment, start_time=begun or None, tags=tags, run_name=name)
        run_id: str = run.info.run_id
        self.known.append(_Known(run_id, dict(tags)))
        return run_id

    def delete(self, run: str) -> None:
        self.client.delete_run(run)
        self.known = [each for each in self.known if each.id != run]

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self.client.set_tag(run, key, value)
        next(each for each in self.known if each.id == run).tags.update(tags)

    def params(self, run: str, values: dict[str, Any]) -> None:
        from mlflow.entities import Param  # takes over a second

        made = [Param(_name(key), str(value)[:LONGEST_PARAM]) for key, value in values.items()]
        for batch in _batches(made, PARAMS_PER_BATCH):
            self.client.log_batch(run, params=batch)

    def metrics(self, made: str, run: PlannedRun, folder: RunFolder, begun: int) -> None:
        """Every row of the log, and the learning rate that its step had."""
        from mlflow.entities import Metric  # takes over a second

        if run.arm not in self.rates:
            self.rates[run.arm] = learning_rate(run.config, self.plan.study.catalogue)
        at = self.rates[run.arm]
        found = [
            Metric(_name(key), float(value), begun + round(1000 * row["seconds"]), int(row["step"]))
            for row in folder.rows()
            for key, value in {**({} if at is None else {"lr": at(int(row["step"]))}), **row}.items()
            if key != "step"
        ]
        for batch in _batches(found, METRICS_PER_BATCH):
            self.client.log_batch(made, metrics=batch)


def _deleted(name: str, experiment: str, store: Path) -> str:
    """How to get back what was deleted in MLflow's page, which keeps the name taken."""
    address = f"MLFLOW_TRACKING_URI={shlex.quote(database_uri(store))}"
    return (
        f"its experiment '{name}' was deleted there; restore it with "
        f"'{address} mlflow experiments restore --experiment-id {experiment}' and call again"
    )


def _same(wanted: float, there: float | None) -> bool:
    return there is not None and (wanted == there or (math.isnan(wanted) and math.isnan(there)))


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _seeds(seeds: Iterable[int]) -> str:
    """'seed 0, 3', or nothing."""
    found = ", ".join(map(str, seeds))
    return f"seed {found}" if found else ""


def _name(key: str) -> str:
    """MLflow allows fewer characters in a name."""
    return re.sub(r"[^\w\-. /:]", "_", key)


def _milliseconds(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000
