"""What one forward pass knows (tokens, dials, masks) and what it collects (saved, losses, metrics)."""

import sys
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor

from coregpt.contract.errors import PluginError
from coregpt.contract.randomness import Noise, uniform

MAIN = "loss"
"""What the main loss is called in the log."""
RESERVED = frozenset({MAIN, "grad_norm", "lr", "select_loss", "val_loss", "step", "tokens", "seconds"})
"""Names of what core itself logs."""
CORE_FILES = "coregpt."


class OwnKeys(dict[str, Tensor]):
    """Losses by key. Of two parts that set one key only the last would count, in silence: both are named instead."""

    def __init__(self) -> None:
        super().__init__()
        self._by: dict[str, tuple[object, str]] = {}

    def __setitem__(self, key: str, value: Tensor) -> None:
        frame = sys._getframe(1)
        part, who = frame.f_locals.get("self", frame.f_code), _setter(frame)
        first, before = self._by.setdefault(key, (part, who))
        if first is not part:
            raise PluginError(f"ctx.losses['{key}'] is set by {before} and by {who}; give each loss a key of its own")
        if key == MAIN:
            raise PluginError(f"ctx.losses['{key}'] is set by {who}: the main loss has that name; use another")
        if not isinstance(value, Tensor) or value.dim():
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise PluginError(f"ctx.losses['{key}'] is set by {who}: expected a scalar tensor, got {got}")
        super().__setitem__(key, value)


class OwnNames(dict[str, Tensor]):
    """Metrics by name; PluginError for a name under which core logs something, which would hide it."""

    def __setitem__(self, key: str, value: Tensor) -> None:
        if key in RESERVED:
            who = _setter(sys._getframe(1))
            raise PluginError(f"ctx.metrics['{key}'] is set by {who}: core logs its own number so; use another name")
        super().__setitem__(key, value)


def _setter(frame: FrameType) -> str:
    """The plugin whose line it is, by the name of its file; where core sets an answer to `add_losses`, its owner."""
    code, line = frame.f_code, frame.f_lineno
    if str(frame.f_globals.get("__name__", "")).startswith(CORE_FILES) and "extra" in frame.f_locals:
        code = type(frame.f_locals["extra"]).forward.__code__
        line = code.co_firstlineno
    return f"'{Path(code.co_filename).stem}' ({code.co_filename}:{line})"


def own_keys() -> dict[str, Tensor]:
    """A compiled pass has a plain dict: before it every run is counted in one that is not compiled."""
    return {} if torch.compiler.is_compiling() else OwnKeys()


def own_names() -> dict[str, Tensor]:
    """As above."""
    return {} if torch.compiler.is_compiling() else OwnNames()


@dataclass
class Context:
    """Made inside `GPT.forward`, gone when it returns; modules share it, plugins may add to it."""

    tokens: Tensor
    """(B, T) int64 input tokens."""
    dials: dict[str, Tensor | int | float]
    """Schedules at this step: 0-d tensors (smooth) or Python values (stages)."""
    documents: Tensor | None = None
    """(B, T) document number of each position of the row, when the run masks documents."""
    masks: dict[Hashable, Any] = field(default_factory=dict)
    """One attention mask per distinct set of mask rules."""
    saved: dict[Hashable, Tensor] = field(default_factory=dict)
    """Activations one part leaves for a later one, keyed by the plugin that owns them."""
    losses: dict[str, Tensor] = field(default_factory=own_keys)
    """Scalars a part adds to the training loss (never to the evaluation), by a key of its own: its site's path, say.
    What one part sets twice counts once; PluginError for two parts with one key."""
    metrics: dict[str, Tensor] = field(default_factory=own_names)
    """Scalars a part wants to see logged, by a name that core does not use; PluginError otherwise."""
    training: bool = False
    """Whether this pass is one of training."""
    starts: Tensor | None = None
    """(B,) int64 where each row begins in all that the run trains on; None: rows stand one after the other from 0."""
    positions: Tensor | None = None
    """(B or 1, T) int64 where tokens stand in their row, where that is not 0 .. T - 1 (see `select`)."""
    row_documents: Tensor | None = None
    """`documents` of the whole row, which mask rules look up by position, where tokens were selected."""
    hidden: Tensor | None = None
    """(B, T, dim) the stream after the final norm: what losses may read."""
    model: Any = None
    """Core's model; parts use `head`, `embed` and `select` instead."""

    def random(self, noise: Noise, shape: tuple[int, ...]) -> Tensor | None:
        """Uniform numbers in [0, 1), fp32, of `shape` (B, ...), from a stream that `at.random(name)` gave.

        A function of (seed, path, name, place of the row in the run). None in evaluation, where nothing is random.
        """
        if not self.training:
            return None
        starts = self.starts
        if starts is None:
            starts = torch.arange(len(self.tokens), device=self.tokens.device) * self.tokens.shape[1]
        return uniform(noise, starts, shape)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (B, T, V) in fp32 of final hidden states (B, T, dim), with everything that transforms logits."""
        logits: Tensor = self.model.logits_of(hidden, self)
        return logits

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T, dim) the first residual stream of any tokens (B, T) of this row, without positions."""
        x: Tensor = self.model.embedding(tokens, self)
        return x

    def select(self, index: Tensor) -> Self:
        """The context of some tokens of each row: `index` (B, S) int64, rising. Collects into the same dicts.

        For parts that are handed it; `at.live.ctx` stays the whole row's, and `saved` may hold tensors of whole rows.
        """
        row = self.documents if self.row_documents is None else self.row_documents
        positions = index if self.positions is None else self.positions.expand_as(self.tokens).gather(1, index)
        some = replace(self, tokens=self.tokens.gather(1, index), positions=positions, masks={}, row_documents=row)
        some.documents = None if self.documents is None else self.documents.gather(1, index)
        some.masks = self.model.masks(replace(some, documents=row))  # rules look documents up by position
        return some


class Live:
    """Holds the context of the pass that is running, for parts whose hook hands them none (`at.live`)."""

    ctx: Context | None = None
