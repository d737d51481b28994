"""The MLflow database beside a store of runs: its address, who may write it, where files lie, what its errors mean."""

import logging
import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from coregpt.contract.errors import RunError

try:
    import fcntl
except ImportError:  # Windows has no advisory locks
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from mlflow import MlflowClient

ADVICE = (
    (
        "mlflow db upgrade",
        "the database was made by another MLflow version; run `mlflow db upgrade {uri}` or delete it",
    ),
    ("not a database", "the file is damaged; delete it and call again ({uri})"),
    ("malformed", "the file is damaged; delete it and call again ({uri})"),
    ("already exists", "the database was left half made; delete it and call again ({uri})"),
    ("locked", "the database is in use; close 'mlflow ui' or wait, and call again"),
    ("ModuleNotFoundError", "MLflow is not installed completely; pip install mlflow"),
    ("disk is full", "the disk is full; free some space and call again"),
    ("disk I/O error", "the disk is full or failing; free some space and call again"),
    ("No space left", "the disk is full; free some space and call again"),
    ("unable to open", "{uri} cannot be opened; check the file and its permissions"),
    ("readonly", "the database cannot be written; check its permissions"),
)
LONGEST_ERROR = 200


def database_uri(store: Path) -> str:
    """Where MLflow finds the mirror of a store of runs."""
    return f"sqlite:///{store / 'mlflow.db'}"


def refuse_address(store: Path) -> None:
    """Raises RunError for a folder whose name a database's address cannot hold: the file would be made elsewhere."""
    name = str(store)
    if "?" in name or unquote(name) != name:
        raise RunError(
            f"MLflow cannot address the folder '{name}' (a '?' or a '%' with two digits); choose another one"
        )


def told(error: Exception, store: Path) -> str:
    """One line: what to do, or what it said, without the statement that failed."""
    if isinstance(error, RunError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    advice = next((advice for sign, advice in ADVICE if sign in text.partition("[SQL")[0]), None)
    return advice.format(uri=shlex.quote(database_uri(store))) if advice else shortened(text)


def shortened(text: str) -> str:
    """What comes before a statement in SQL, in one line."""
    return " ".join(text.partition("[SQL")[0].split())[:LONGEST_ERROR]


@contextmanager
def alone(store: Path) -> Iterator[None]:
    """Nobody else makes or writes the mirror meanwhile; on a file system without locks that is up to the user."""
    descriptor = os.open(store / "mlflow.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def client(uri: str) -> "MlflowClient":
    """A client that talks to one SQLite file and to nobody else."""
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"})
    for name in ("mlflow", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from mlflow import MlflowClient  # takes over a second

    for name in ("mlflow", "alembic"):  # importing sets them again
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def artifacts(store: Path, experiment: str) -> str:
    """Where the files of an experiment lie, which MLflow keeps as an absolute address."""
    return (store / "mlartifacts" / experiment).resolve().as_uri()


def bring_along(store: Path, experiment: str, location: str) -> None:
    """A store that was moved or copied has its own files: what the database says of the old folder is said of this one.

    MLflow writes each run's absolute address when it is made and has no command that changes it.
    """
    here = artifacts(store, experiment)
    if location == here:
        return
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("update experiments set artifact_location = ? where artifact_location = ?", (here, location))
        database.execute(
            "update runs set artifact_uri = ? || substr(artifact_uri, ?) where substr(artifact_uri, 1, ?) = ?",
            (here, len(location) + 1, len(location) + 1, f"{location}/"),
        )
