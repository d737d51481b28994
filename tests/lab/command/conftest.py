"""A repository as people have it: a script that is configured by overriding globals, with its own evaluation lines."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.lab.command.config import CommandRun
from coregpt.lab.records.store import RunFolder

SCRIPT = """\
import random, sys

eval_interval = 10
max_iters = 50
learning_rate = 1e-3
device = 'cuda'
out_dir = 'out'
for arg in sys.argv[1:]:
    key, _, val = arg.removeprefix('--').partition('=')
    assert key in globals(), f'Unknown config key: {key}'
    globals()[key] = type(globals()[key])(val)
print(f'Overriding: learning_rate = {learning_rate}')

random.seed(1337 + 0)
luck = random.gauss(0, 0.02)
for it in range(0, max_iters + 1, eval_interval):
    loss = 4.0 - 0.02 * it - 30 * learning_rate + luck + random.gauss(0, 0.002)
    print(f'step {it}: train loss {loss - 0.1:.4f}, val loss {loss:.4f}')
    for k in range(3):
        print(f'iter {it + k}: loss {loss:.4f}, time 12.00ms, mfu 1.00%')
"""
PATTERN = "step {step}: train loss {train_loss}, val loss {val_loss}"
EDIT = {"train.py": {"random.seed(1337 + 0": "random.seed(1337 + 1000 * {seed}"}}
SAID: dict[str, Any] = {
    "repo": "nano",
    "run": "python train.py --device=cpu --learning_rate={lr}",
    "edit": EDIT,
    "set": {"lr": 1.0e-3},
    "metric": {"pattern": PATTERN},
    "time_limit": "1m",
}


def git(repo: Path, *words: str) -> str:
    own = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    return subprocess.run(["git", *own, *words], cwd=repo, check=True, capture_output=True, text=True).stdout.strip()


def commit(repo: Path, message: str, **files: str) -> str:
    for name, text in files.items():
        path = repo / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clones and digests of each test are its own."""
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    """With branches `main` and `candidate`."""
    repo = tmp_path / "nano"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    commit(repo, "First", train_py=SCRIPT)
    git(repo, "checkout", "--quiet", "-b", "candidate")
    commit(repo, "A better slope", train_py=SCRIPT.replace("30 * learning_rate", "60 * learning_rate"))
    git(repo, "checkout", "--quiet", "main")
    return repo


@pytest.fixture
def command(tmp_path: Path, nano: Path) -> Callable[..., CommandRun]:
    """`command(script, metric=...)`: one program; a script is committed first."""

    def make(script: str | None = None, seed: int = 0, of: str = "val_loss", **changes: Any) -> CommandRun:
        if script is not None:
            commit(nano, "Another", train_py=script)
            changes = {"edit": {}, "run": "python train.py {seed}", "set": {}, **changes}
        found = CommandRun.read({**SAID, **changes}, tmp_path, of)
        assert not isinstance(found, list), found
        return found.seeded(seed, "cpu")

    return make


@pytest.fixture
def problems(tmp_path: Path, nano: Path) -> Callable[..., str]:
    """What is wrong with a command, as `key: text`; "" where nothing is."""

    def find(of: str = "val_loss", **changes: Any) -> str:
        said = {key: value for key, value in {**SAID, **changes}.items() if value is not None}
        found = CommandRun.read(said, tmp_path, of)
        return "\n".join(f"{'.'.join(map(str, key))}: {text}" for key, text in found) if isinstance(found, list) else ""

    return find


@pytest.fixture
def executed(tmp_path: Path) -> Callable[[CommandRun], dict[str, Any]]:
    """Execute a run in this process, in a folder `run`."""

    def execute(run: CommandRun, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        folder = RunFolder(tmp_path / "runs" / "run")
        folder.create({"config": run.model_dump(mode="json"), "aside": run.kept()}, {})
        return run.execute(folder.path, stop)

    return execute


def write_study(path: Path, **changes: Any) -> Path:
    """Two arms of the script, five seeds."""
    study = {
        "question": "Does the candidate reach a lower validation loss?",
        "base": {"command": SAID, "device": "cpu"},
        "arms": {"main": {"command": {"at": "main"}}, "mine": {"command": {"at": "candidate"}}},
        "seeds": 5,
        "test": {"metric": "val_loss", "baseline": "main", "margin": 0.01},
        **changes,
    }
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path
