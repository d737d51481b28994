"""Save and resume to the bit: parameters, buffers, optimizer, companions, random state, clocks.

A checkpoint continues the run that wrote it (`load`), or starts another run from that step (`branch`).
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from coregpt.contract.errors import RunError
from coregpt.engine.build import Run
from coregpt.engine.weights import persistent_buffers

Shapes = dict[str, tuple[int, ...]]


def save(path: Path, run: Run, progress: dict[str, Any]) -> None:
    """Write one file atomically. Every rank calls this (state is gathered); rank 0 writes.

    `progress` is plain data of the training loop. Random state is rank 0's: ranks start from one seed.
    """
    optimizer: dict[str, dict[str, torch.Tensor]] = {}
    for param, name, tensor in run.optimizer.state_of():
        optimizer.setdefault(param, {})[name] = tensor.cpu()
    if run.world.rank == 0:
        state = {
            "progress": progress,
            "params": {name: param.detach().cpu() for name, param in run.assembly.params.items()},
            "buffers": {name: buffer.cpu() for name, buffer in _buffers(run).items()},
            "optimizer": optimizer,
            "optimizer_steps": run.optimizer.steps,
            "companions": {
                owner: companion.state_dict() for owner, companion in zip(run.owners, run.companions, strict=True)
            },
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state() if run.device.type == "cuda" else None,
        }
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    run.world.barrier()


def load(path: Path, run: Run) -> dict[str, Any]:
    """Put a run back where `save` left it; returns the progress. Raises RunError for a foreign file."""
    return _restore(path, run, "delete it to start over", whole=True)


def branch(path: Path, run: Run) -> dict[str, Any]:
    """Start a run from another one's checkpoint: equal parameters, buffers and optimizer state, by name and shape.

    A companion that only this run has starts fresh, one that only the other run had is dropped.
    """
    return _restore(path, run, "the arms of a fork must share all that it holds", whole=False)


def contents(run: Run) -> Shapes:
    """Shape of everything a checkpoint of this run holds that a branch must find in it, by what it is."""
    held: Shapes = {f"parameter {path}": tuple(param.shape) for path, param in run.assembly.params.items()}
    held |= {f"buffer {name}": tuple(buffer.shape) for name, buffer in _buffers(run).items()}
    for stack in run.optimizer.stacks:
        for name, state in stack.state.items():
            held |= {f"optimizer state {name} of {path}": tuple(state.shape[1:]) for path in stack.paths}
    return held


def state_digest(path: Path) -> str:
    """sha256 of the step and of every tensor in a checkpoint: the same for two executions that agree to the bit.

    What a clock measured does not count. Raises RunError for a file that is no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = hashlib.sha256()
        for key, value in _flat({**state, "progress": state["progress"]["step"]}, ""):
            found.update(key.encode())
            found.update(value)
    except Exception as error:
        raise RunError(f"{path} is not a checkpoint ({error!r})") from error
    return found.hexdigest()


def _flat(value: Any, key: str) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, dict):
        for name in sorted(value, key=str):
            yield from _flat(value[name], f"{key}/{name}")
    elif isinstance(value, torch.Tensor):
        raw = value.contiguous().reshape(-1).view(torch.uint8)
        yield f"{key} {value.dtype} {tuple(value.shape)}", raw.numpy().tobytes()
    else:
        yield key, repr(value).encode()


@torch.no_grad()
def _restore(path: Path, run: Run, remedy: str, whole: bool) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=run.device, weights_only=True)
        _same_names(state, run)
        for name, param in run.assembly.params.items():
            param.copy_(state["params"][name])
        buffers = _buffers(run)
        for name, value in state["buffers"].items():
            buffers[name].copy_(value)
        run.optimizer.load_state(state["optimizer"], state["optimizer_steps"])
        saved = state["companions"]
        if whole and set(saved) != set(run.owners):
            raise KeyError(f"companions of {sorted(saved)}, not of {sorted(run.owners)}")
        for owner, companion in zip(run.owners, run.companions, strict=True):
            if owner in saved:
                companion.load_state_dict(saved[owner])
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"].cpu())
    except Exception as error:
        raise RunError(f"{path} is not a checkpoint of this run ({error!r}); {remedy}") from error
    progress: dict[str, Any] = state["progress"]
    return progress


def _same_names(state: dict[str, Any], run: Run) -> None:
    """Copying by name alone would pass over whatever the run does not ask for, and broadcast a wrong shape."""
    saved = {f"parameter {path}": tuple(value.shape) for path, value in state["params"].items()}
    saved |= {f"buffer {name}": tuple(value.shape) for name, value in state["buffers"].items()}
    for path, values in state["optimizer"].items():
        saved |= {f"optimizer state {name} of {path}": tuple(value.shape) for name, value in values.items()}
    own = contents(run)
    wrong = [name for name in {**saved, **own} if saved.get(name) != own.get(name)]
    if wrong:
        raise KeyError(f"{wrong[0]}: {saved.get(wrong[0], 'not there')}, here {own.get(wrong[0], 'not there')}")


def _buffers(run: Run) -> dict[str, torch.Tensor]:
    return persistent_buffers(run.model)
