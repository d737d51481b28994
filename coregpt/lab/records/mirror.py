"""Run folders -> MLflow, after the fact. The only module that imports mlflow; it never fails anything.

Experiment = study; a parent run per preregistration, a child per run, and a child per arm with the mean over its seeds.
Mirroring twice adds nothing.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coregpt.lab.records.aggregate import METRIC, band
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.differences import flatten
from coregpt.lab.study.outline import Plan, PlannedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
LONGEST_PARAM = 500
PARENT = "mlflow.parentRunId"
AGGREGATE = {"coregpt.aggregate": "mean over seeds"}
ADVICE = (
    (
        "mlflow db upgrade",
        "the database was made by another MLflow version; run 'mlflow db upgrade {uri}' or delete it",
    ),
    ("not a database", "the file is damaged; delete it and call again ({uri})"),
    ("locked", "the database is in use; close 'mlflow ui' or wait, and call again"),
    ("ModuleNotFoundError", "MLflow is not installed completely; pip install mlflow"),
    ("disk is full", "the disk is full; free some space and call again"),
    ("unable to open", "{uri} cannot be opened; check the file and its permissions"),
    ("readonly", "the database cannot be written; check its permissions"),
)


def database_uri(store: Path) -> str:
    """Where MLflow finds the mirror of a store of runs."""
    return f"sqlite:///{store / 'mlflow.db'}"


def mirror(plan: Plan, store: Path, report: Path) -> str | None:
    """Copy complete runs and the report into MLflow; returns a warning if that failed, and nothing else does."""
    uri = database_uri(store)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _Mirror(plan, store, _client(uri)).copy(report)
    except Exception as error:  # tracking must never cost a result
        text = f"{type(error).__name__}: {error}"
        advice = next((advice for sign, advice in ADVICE if sign in text), " ".join(text.split())[:200])
        return f"not mirrored to MLflow: {advice.format(uri=uri)} (results and report are complete without it)"
    return None


def _client(uri: str) -> "MlflowClient":
    """A client that talks to one SQLite file and to nobody else."""
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"})
    for name in ("mlflow", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from mlflow import MlflowClient  # takes over a second

    for name in ("mlflow", "alembic"):  # importing sets them again
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


class _Mirror:
    """One study and its experiment."""

    def __init__(self, plan: Plan, store: Path, client: "MlflowClient"):
        self.plan, self.store, self.client = plan, store, client
        name = plan.study.name
        found = client.get_experiment_by_name(name)
        artifacts = (store / "mlartifacts" / name).resolve().as_uri()
        self.experiment = found.experiment_id if found else client.create_experiment(name, artifacts)

    def copy(self, report: Path) -> None:
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
        self.client.log_artifacts(parent, str(report))
        self.client.set_terminated(parent, "FINISHED")

    def copy_run(self, run: PlannedRun, folder: RunFolder, parent: str) -> None:
        """A child is complete when it is tagged so; what an interrupted mirror left is made anew."""
        tags = {"coregpt.run": run.id, PARENT: parent}
        if self.find({**tags, "coregpt.complete": "yes"}):
            return
        if torn := self.find(tags):
            self.client.delete_run(torn)
        result, begun = folder.result() or {}, _milliseconds(folder.path / "config.json")
        own = {**tags, "coregpt.arm": run.arm, "coregpt.seed": str(run.seed), "coregpt.status": result["status"]}
        child = self.create(f"{run.arm}, seed {run.seed}", own, begun)
        self.params(child, flatten(run.config.model_dump(mode="json")))
        self.metrics(child, folder, begun)
        self.client.set_tag(child, "coregpt.complete", "yes")
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
            self.client.delete_run(old)
        absent = _seeds(seed for seed, result in results.items() if result is None)
        diverged = _seeds(seed for seed, result in results.items() if result and result["status"] == "diverged")
        said = {"coregpt.left_out": f"{absent}: not complete"} if absent else {}
        said |= {"coregpt.diverged": diverged} if diverged else {}
        begun = min(_milliseconds(folder.path / "config.json") for _, folder in runs)
        made = self.create(f"{arm}, mean of seeds", {**tags, "coregpt.seeds": seeds, **said}, begun)
        self.band(made, [folder for _, folder in runs], begun)
        self.client.set_tag(made, "coregpt.complete", "yes")
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

    def find(self, tags: dict[str, str]) -> str | None:
        condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self.client.search_runs([self.experiment], condition, max_results=1)
        return found[0].info.run_id if found else None

    def create(self, name: str, tags: dict[str, str], begun: int) -> str:
        run = self.client.create_run(self.experiment, start_time=begun or None, tags=tags, run_name=name)
        run_id: str = run.info.run_id
        return run_id

    def params(self, run: str, values: dict[str, Any]) -> None:
        from mlflow.entities import Param  # takes over a second

        made = [Param(_name(key), str(value)[:LONGEST_PARAM]) for key, value in values.items()]
        for batch in _batches(made, PARAMS_PER_BATCH):
            self.client.log_batch(run, params=batch)

    def metrics(self, run: str, folder: RunFolder, begun: int) -> None:
        from mlflow.entities import Metric  # takes over a second

        made = [
            Metric(_name(key), float(value), begun + round(1000 * row["seconds"]), int(row["step"]))
            for row in folder.rows()
            for key, value in row.items()
            if key != "step"
        ]
        for batch in _batches(made, METRICS_PER_BATCH):
            self.client.log_batch(run, metrics=batch)


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
