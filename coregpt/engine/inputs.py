"""Weights that a run is given, from where they lie on disk to what plugins see of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coregpt.contract.config import InputSource, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.input import Forward, Input, Inputs
from coregpt.contract.plugin import Plugin
from coregpt.engine import weights as files

if TYPE_CHECKING:
    from coregpt.engine.build import Assembled


@dataclass(frozen=True)
class Stored:
    """Weights on disk, and what is needed to make their model again."""

    path: Path
    config: RunConfig | None = None
    plugins: Sequence[tuple[str, Plugin]] = ()
    inputs: Mapping[str, "Stored"] = field(default_factory=dict)
    """Of the run that the weights are from."""
    no_model: str = "it holds weights and no settings"
    """Why there is no model, where `config` is None."""
    shapes: Mapping[str, torch.Size] | None = None
    """Of every weight, where values are of no interest (see `hollow`)."""

    def hollow(self) -> "Stored":
        """The same without values, for whoever asks about sizes alone: nothing large is read."""
        if self.shapes is not None:
            return self
        params = files.read(self.path, "meta").params
        inner = {name: each.hollow() for name, each in self.inputs.items()} if self.config is not None else {}
        return replace(self, shapes={name: value.shape for name, value in params.items()}, inputs=inner)


Given = Mapping[str, Stored]
Assemble = Callable[[RunConfig, Sequence[tuple[str, Plugin]], Given], "Assembled"]


def stored_file(path: Path) -> Stored:
    """A file of weights. Its model can be made from it alone if it has no technique. Raises RunError."""
    record = files.read(path, "meta").record
    if not record:
        return Stored(path)
    config = RunConfig.model_validate(record["config"])
    if config.plugins:
        return Stored(path, no_model=f"its model has techniques ({', '.join(config.plugins)}), which nobody has named")
    return Stored(path, config, no_model="")


def open_inputs(sources: Mapping[str, InputSource], stored: Given, device: torch.device, assemble: Assemble) -> Inputs:
    """Every input of a run as plugins see it. On the meta device it has shapes only.

    `assemble` makes a model on `device`. A file that `stored` leaves out is opened here. Raises PluginError for a run
    that it leaves out.
    """
    return Inputs({name: _input(name, source, stored.get(name), device, assemble) for name, source in sources.items()})


def _input(name: str, source: InputSource, stored: Stored | None, device: torch.device, assemble: Assemble) -> Input:
    if stored is None:
        if source.file is None:
            raise PluginError(f"the input '{name}' is {source}, and nobody says where its weights lie")
        stored = stored_file(Path(source.file))
    found = stored.hollow() if device.type == "meta" else stored

    def read() -> Mapping[str, Tensor]:
        if found.shapes is not None:
            return {path: torch.empty(shape, device=device) for path, shape in found.shapes.items()}
        return files.read(found.path, device).params

    def make() -> Forward:
        if found.config is None:
            raise PluginError(f"the input '{name}' ({source}) has weights and no model: {found.no_model}")
        return finished(assemble(found.config, found.plugins, found.inputs), found, device)

    return Input(name, found.config, read, make)


def finished(made: "Assembled", stored: Stored, device: torch.device) -> "FinishedModel":
    """A model with the weights that it ended with, and the dials of its last step."""
    made.dials.set(made.timeline.clock(made.timeline.steps - 1))
    if stored.shapes is None:
        _fill(made, files.read(stored.path, device))
    return FinishedModel(made)


class FinishedModel:
    """The forward pass of a finished model. It is no module, so that it is no part of the one that asks it."""

    def __init__(self, made: "Assembled"):
        self.model, self.dials = made.model, made.dials.values
        self.model.eval()
        self.model.requires_grad_(False)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) in fp32 of tokens (B, T)."""
        with torch.no_grad():
            return self.model.logits(tokens, self.dials).float()

    def tensors(self) -> list[Tensor]:
        """All that it holds in memory."""
        return [*self.model.parameters(), *self.model.buffers()]


@torch.no_grad()
def _fill(made: "Assembled", saved: files.Weights) -> None:
    """Raises PluginError where names or shapes are not those of the model."""
    buffers = files.persistent_buffers(made.model)
    for own, theirs in ((made.assembly.params, saved.params), (buffers, saved.buffers)):
        for name in {**own, **theirs}:
            if name not in own or name not in theirs or own[name].shape != theirs[name].shape:
                raise PluginError(f"the weights are not those of the model that their settings make: '{name}' differs")
            own[name].copy_(theirs[name])
