"""Save and resume to the bit: parameters, buffers, optimizer, companions, random state, clocks."""

import os
from pathlib import Path
from typing import Any

import torch

from coregpt.contract.errors import RunError
from coregpt.engine.build import Run


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
            "companions": [companion.state_dict() for companion in run.companions],
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


@torch.no_grad()
def load(path: Path, run: Run) -> dict[str, Any]:
    """Put a run back where `save` left it; returns the progress. Raises RunError for a foreign file."""
    try:
        state = torch.load(path, map_location=run.device, weights_only=True)
        for name, param in run.assembly.params.items():
            param.copy_(state["params"][name])
        buffers = _buffers(run)
        for name, value in state["buffers"].items():
            buffers[name].copy_(value)
        run.optimizer.load_state(state["optimizer"], state["optimizer_steps"])
        for companion, own in zip(run.companions, state["companions"], strict=True):
            companion.load_state_dict(own)
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"].cpu())
    except Exception as error:
        raise RunError(f"{path} is not a checkpoint of this run ({error!r}); delete it to start over") from error
    progress: dict[str, Any] = state["progress"]
    return progress


def _buffers(run: Run) -> dict[str, torch.Tensor]:
    """Persistent buffers by name (tables that are recomputed are registered non-persistent)."""
    kept = run.model.state_dict().keys()
    return {name: buffer for name, buffer in run.model.named_buffers() if name in kept}
