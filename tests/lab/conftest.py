"""A tiny study with real data and real training, and the same study already executed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from coregpt.cli import main
from coregpt.engine.data import write_shard

STEPS = 120
"""Of a run of the tiny study: as few as show that something is learned, stopped on the way, evaluated between."""
FEWEST = 5
"""Seeds with which one comparison can have a verdict."""
STUDY: dict[str, Any] = {
    "question": "Does squaring the ReLU help a tiny model?",
    "base": {
        "model": {"vocab": 16, "dim": 8, "depth": 1, "heads": 2, "context": 16},
        "tokens": 64 * STEPS,
        "batch_tokens": 64,
        "eval_tokens": 256,
        "evals": 5,
        "device": "cpu",
        "precision": "fp32",
        "compile": False,
    },
    "arms": {"gelu": {}, "relu2": {"plugins": {"relu2": {}}}},
    "seeds": 2,
    "test": {"baseline": "gelu", "margin": 0.02},
}


def write_shards(folder: Path) -> Path:
    """Tokens with a little structure: each is the one before plus 0, 1 or 2."""
    folder.mkdir(parents=True)
    steps = np.random.default_rng(0).integers(0, 3, 6000)
    tokens = (np.cumsum(steps) % 16).astype(np.uint16)
    write_shard(folder / "train.bin", tokens[:5000])
    write_shard(folder / "val.bin", tokens[5000:])
    (folder / "meta.json").write_text(json.dumps({"vocab": 16, "separator": 0, "unit": "token"}))
    return folder


def write_study(path: Path, data: Path, **changes: Any) -> Path:
    """The tiny study as a file; `changes` replace its top-level keys. With too few seeds for its test it is a pilot."""
    study = {**STUDY, **changes}
    study = {**study, "base": {**study["base"], "data": {"source": str(data)}}}
    seeds = study["seeds"] if isinstance(study["seeds"], list) else range(study["seeds"])
    if len(seeds) < FEWEST and not {"history", "screen"} & study["test"].keys():
        study["test"] = {**study["test"], "pilot": True}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


@dataclass(frozen=True)
class Lab:
    """Where a study lives."""

    folder: Path
    data: Path
    study: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def command(self, *extra: str) -> list[str]:
        return ["ablate", str(self.study), "--runs", str(self.runs), "--reports", str(self.reports), *extra]

    def report(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.reports / self.study.stem / "report.json").read_text())
        return data

    def recorded(self) -> tuple[list[str], bytes]:
        """The runs that there are, and the ledger."""
        runs = sorted(path.parent.name for path in self.runs.glob("*/config.json"))
        return runs, (self.runs / "ledger.jsonl").read_bytes()

    def with_runs_in(self, folder: Path) -> "Lab":
        return Lab(folder, self.data, self.study)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture
def lab(tmp_path: Path, shards: Path) -> Callable[..., Lab]:
    """`lab(seeds=3)`: a fresh folder with the tiny study in it."""

    def make(name: str = "tiny", **changes: Any) -> Lab:
        return Lab(tmp_path, shards, write_study(tmp_path / f"{name}.yaml", shards, **changes))

    return make


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Iterator[Lab]:
    """The tiny study, trained and reported once for all tests that only read it; one that writes needs a copy."""
    folder = tmp_path_factory.mktemp("executed")
    done = Lab(folder, shards, write_study(folder / "tiny.yaml", shards))
    assert main(done.command("--no-mlflow")) == 0  # importing MLflow and making its database take 5 s of a processor
    before = done.recorded()
    yield done
    assert done.recorded() == before, "a test trained in the folder that all of them share"
