"""What a run writes while it trains, what it says at its end, and what it must remember in between."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

Row = dict[str, float | int]

SELECT: Final = "select_loss"
"""Loss on `select`, at every evaluation: for curves that people watch and for whatever is chosen."""
HELD_OUT: Final = "val_loss"
"""Loss on `held_out`, the whole validation stream: for verdicts. After the last step, or along the whole run where its
configuration says so."""


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
    """Final loss on `held_out` in nats per token; None unless finished, and where `held_out` was withheld."""
    select: float | None
    """The same on `select`."""
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
    select: float | None = None
    shared_step: int = 0
    """Steps of another run that this one began with."""
    shared_seconds: float = 0.0
    scaling: dict[str, Any] = field(default_factory=dict)
    """State of the loss scale, in fp16."""
