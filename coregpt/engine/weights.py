"""Weights in a file: the final ones of a run, and whatever mapping of tensors somebody else saved."""

import contextlib
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from coregpt.contract.errors import RunError

if TYPE_CHECKING:
    from coregpt.engine.build import Run

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """What one file holds."""

    params: Tensors
    """By path, fp32 where coregpt wrote them."""
    buffers: Tensors = field(default_factory=dict)
    """Persistent ones by name."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """What run they are of: its settings and digests. Empty for a file that coregpt did not write."""


def save(path: Path, run: "Run", record: Mapping[str, Any]) -> None:
    """Write what evaluation sees of a run: parameters and persistent buffers as companions swap them in.

    The file is complete or absent, and the same bytes for the same weights. Every rank calls this; rank 0 writes.
    """
    with contextlib.ExitStack() as stack:
        for companion in run.companions:
            stack.enter_context(companion.evaluating())
        if run.world.rank == 0:
            params = {name: _plain(param) for name, param in run.assembly.params.items()}
            buffers = {name: _plain(buffer) for name, buffer in persistent_buffers(run.model).items()}
            write(path, Weights(params, buffers, record))
    run.world.barrier()


def write(path: Path, weights: Weights) -> None:
    """Raises OSError where that is impossible."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save({name: dict(value) for name, value in vars(weights).items()}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path: Path, device: torch.device | str = "cpu") -> Weights:
    """Raises RunError for a file that is none, is damaged, or holds no mapping of tensors. No code of it is run."""
    _refuse_damaged(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that torch did not write; they are refused in any case
            found = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no such file of weights") from error
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path}: expected a file of weights made by torch.save ({first})") from error
    if isinstance(found, dict) and isinstance(found.get("params"), dict):
        weights = Weights(found["params"], found.get("buffers") or {}, found.get("record") or {})
    else:
        weights = Weights(found if isinstance(found, dict) else {})
    if not weights.params or not all(isinstance(value, Tensor) for value in weights.params.values()):
        raise RunError(f"{path}: expected a mapping from names to tensors, found {_kind(found)}")
    return weights


def _refuse_damaged(path: Path) -> None:
    """torch.load does not look at the checksums that torch.save writes: one bit elsewhere is another model."""
    with contextlib.suppress(OSError, zipfile.BadZipFile):  # told by torch.load
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise RunError(f"{path}: the file is damaged (checksum of {damaged}); make it again")


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    """By name; tables that are recomputed are registered non-persistent."""
    kept = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in kept}


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU, in fp32 if it holds floats, and no view of a larger storage, which would be saved with it."""
    kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", kind).clone(memory_format=torch.contiguous_format)


def _kind(found: Any) -> str:
    if not isinstance(found, dict):
        return type(found).__name__
    other = next(
        (f"'{key}': {type(value).__name__}" for key, value in found.items() if not isinstance(value, Tensor)), ""
    )
    return f"a mapping with {other}" if other else "an empty one"
