"""A companion lives beside the model and acts at five moments of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from coregpt.contract.rules import Clock


class Companion:
    """Override what you need. Core calls companions in plugin order, on every rank alike."""

    def before_step(self, clock: Clock) -> None:
        """Before the first forward pass of a step; dials are set."""

    def before_update(self, clock: Clock) -> None:
        """Gradients are complete (summed over micro-batches and ranks) and not yet clipped."""

    def after_update(self, clock: Clock) -> None:
        """Parameters have moved."""

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Around an evaluation: swap weights in, and back out."""
        yield

    def metrics(self) -> dict[str, float]:
        """Numbers for the run's log, asked for at each evaluation. They decide nothing."""
        return {}

    def state_dict(self) -> dict[str, Tensor | Any]:
        """Whatever a resumed run needs: tensors and plain data."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor | Any]) -> None:
        """Take back what `state_dict` gave."""
