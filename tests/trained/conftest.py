"""A tiny study on text of its own, trained once for all tests that look at what its runs have come to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import main
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import find
from coregpt.trained.opening import Trained, open_run
from tests.text.conftest import bpe, text, texts

__all__ = ["bpe", "texts"]

PLUGIN = '''
"""Scale the logits by a number that a helper knows."""
import helper_of_scaled
from torch import Tensor, nn
from coregpt.api import Context, Plugin, Site, hookimpl


class Scale(nn.Module):
    def forward(self, logits: Tensor, ctx: Context) -> Tensor:
        return logits * helper_of_scaled.FACTOR


class Scaled(Plugin):
    @hookimpl
    def add_logit_transforms(self, at: Site) -> nn.Module:
        return Scale()
'''
STUDY: dict[str, Any] = {
    "question": "Does scaling help?",
    "base": {
        "model": {"vocab": 416, "dim": 16, "depth": 1, "heads": 2, "context": 32},
        "data": {"source": "shards"},
        "tokens": 64 * 60,
        "batch_tokens": 64,
        "eval_tokens": 512,
        "evals": 2,
        "device": "cpu",
        "precision": "fp32",
        "compile": False,
        "plugins": {"rope": {}},
    },
    "arms": {"plain": {}, "scaled": {"plugins": {"scaled": {}, "ema": {"start": 0.5, "horizon": 0.1}}}},
    "seeds": 2,
    "plugin_files": ["scaled.py"],
    "test": {"baseline": "plain", "margin": 0.02, "pilot": True},
}


@dataclass(frozen=True)
class Done:
    """Where it lies."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def data(self) -> Path:
        return self.folder / "shards"

    def id(self, cell: str) -> str:
        return find(Ledger.of(self.runs).read(), self.runs, cell).id

    def open(self, cell: str) -> Trained:
        return open_run(cell, None, self.runs)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, texts: Path, bpe: Any) -> Done:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "t.json").write_text(bpe.text, encoding="utf-8")
    words = ["data", "prepare", str(texts), "--tokenizer", str(folder / "t.json"), "--out", str(folder / "shards")]
    assert main([*words, "--held-out", "0.2", "--select", "0.1", "--jobs", "1"]) == 0
    (folder / "scaled.py").write_text(PLUGIN)
    (folder / "helper_of_scaled.py").write_text("FACTOR = 0.5\n")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    where = ["--runs", str(folder / "runs"), "--reports", str(folder / "reports"), "--no-mlflow"]
    assert main(["ablate", str(folder / "study.yaml"), *where]) == 0
    return Done(folder)


__all__ += ["text"]
