"""What one forward pass knows (tokens, dials, masks) and what it collects (saved, losses, metrics)."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Context:
    """Made inside `GPT.forward`, gone when it returns; modules share it, plugins may add to it."""

    tokens: Tensor
    """(B, T) int64 input tokens."""
    dials: dict[str, Tensor | int | float]
    """Schedules at this step: 0-d tensors (smooth) or Python values (stages)."""
    documents: Tensor | None = None
    """(B, T) document number of each position, when the run masks documents."""
    masks: dict[Hashable, Any] = field(default_factory=dict)
    """One attention mask per distinct set of mask rules."""
    saved: dict[Hashable, Tensor] = field(default_factory=dict)
    """Activations one part leaves for a later one, keyed by the plugin that owns them."""
    losses: dict[str, Tensor] = field(default_factory=dict)
    """Scalars a part adds to the training loss (never to the evaluation)."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    """Scalars a part wants to see logged."""
