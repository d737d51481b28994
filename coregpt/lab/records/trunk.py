"""Runs that begin with the state of another: what a trunk leaves, and what a branch takes from it.

A trunk's folder keeps its checkpoint and has `trunk.json`, the digest of the state in it; a branch's folder has
`branch.json`, the digest of the state it began with.
"""

from pathlib import Path

from coregpt.contract.errors import RunError
from coregpt.engine.training import checkpoint
from coregpt.engine.training.outcome import Outcome
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.part import RunPart


def stands(trunk: RunFolder, step: int) -> bool:
    """Whether it paused at the fork, or diverged before it."""
    return trunk.result() is not None or trunk.paused() >= step


def seal(trunk: RunFolder) -> None:
    """Write down what the checkpoint of a trunk holds; nothing for other runs."""
    if RunPart.of(trunk.config()).is_trunk:
        write_json(trunk.path / "trunk.json", {"state": checkpoint.state_digest(trunk.checkpoint)})


def trunk_of(branch: RunFolder) -> RunFolder | None:
    """The trunk a run is to begin with; None for a run that is no branch or goes on from its own checkpoint."""
    trunk = RunPart.of(branch.config()).trunk
    return RunFolder(branch.path.parent / trunk) if trunk and not branch.checkpoint.exists() else None


def begin(branch: RunFolder, trunk: RunFolder) -> None:
    """Check the trunk and copy its log up to the fork. Raises RunError if its checkpoint is not what it was."""
    step = RunPart.of(branch.config()).begin
    if not stands(trunk, step):
        raise RunError(f"its trunk {trunk.id} has not come to step {step}; coregpt ablate trains it")
    if trunk.result() is None:
        state = (read_json(trunk.path / "trunk.json") or {}).get("state")
        if _state(trunk.checkpoint) != state:
            trunk.checkpoint.unlink(missing_ok=True)
            raise RunError(
                f"the checkpoint of its trunk {trunk.id} was damaged or changed, and has been removed; "
                "the same command trains the trunk again"
            )
        write_json(branch.path / "branch.json", {"trunk": trunk.id, "step": step, "state": state})
    branch.write_rows([row for row in trunk.rows() if row["step"] <= step])


def _state(path: Path) -> str:
    try:
        return checkpoint.state_digest(path)
    except RunError:
        return "unreadable"


def ended(trunk: RunFolder) -> Outcome | None:
    """How a branch ends whose trunk never came to the fork: as any run of its arm would have, it diverged."""
    result = trunk.result()
    if result is None:
        return None
    return Outcome(**{**result, "reason": f"{result['reason']}, before the fork", "notes": tuple(result["notes"])})


def begun_with(branch: RunFolder) -> str:
    """Digest of the state a branch began with; empty if it never began."""
    return str((read_json(branch.path / "branch.json") or {"state": ""})["state"])
