"""What a run writes while it trains, what it says at its end, and what it must remember in between."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Row = dict[str, float | int]


class Sink(Protocol):
    """Where a run's numbers go. Only rank 0's is used."""

    def record(self, row: Row) -> None:
        """One line: step, tokens, seconds, and what was measured."""

    def rewind(self, step: int) -> None:
        """A resumed run starts again after `step`: forget rows beyond it."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Literal["finished", "diverged", "stopped"]
    value: float | None
    """Final evaluation loss in nats per token; None unless finished."""
    reason: str
    steps: int
    tokens: int
    train_seconds: float
    compile_seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    notes: tuple[str, ...] = ()


@dataclass
class Progress:
    """What the loop must remember to go on after a break."""

    step: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    value: float | None = None
    shared_step: int = 0
    """Steps of another run that this one began with."""
    shared_seconds: float = 0.0
    scaling: dict[str, Any] = field(default_factory=dict)
    """State of the loss scale, in fp16."""
