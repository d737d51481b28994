"""A companion lives beside the model and acts at certain moments of a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from coregpt.contract.rules import Clock


class Companion:
    """Override what you need. Core calls companions in plugin order, on every rank alike."""

    def before_step(self, clock: Clock) -> None:
        """Before the first forward pass of a step; dials are set."""

    def sees_batch(self, clock: Clock, tokens: Tensor, targets: Tensor) -> None:
        """What this rank trains on in this step, (rows, T) int64 each, on the CPU; after `before_step`."""

    # -- another forward and backward in the same step, asked for by `wants_pass` ------------------------

    def wants_pass(self, clock: Clock) -> bool:
        """Whether this step takes a second forward and backward pass over the same batch, for this companion.

        A function of the clock alone: core counts the FLOPs of these passes before the run starts.
        """
        return False

    def before_pass(self, clock: Clock) -> None:
        """The first pass' gradients are complete and not yet clipped; keep a copy of what is still needed.

        Gradients are forgotten after this. Parameters may be moved, and must be moved back in `after_pass`.
        """

    def pass_loss(self, loss: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        """The scalar that the second pass differentiates; `loss(tokens, targets)` is the training loss."""
        return loss(tokens, targets)

    def after_pass(self, clock: Clock) -> None:
        """Gradients are the second pass', complete; whatever they are when this returns is what moves parameters.

        In fp16, gradients that overflowed are zeros here, and the step is skipped.
        """

    def before_update(self, clock: Clock) -> None:
        """Gradients are complete (summed over micro-batches and ranks) and not yet clipped.

        In fp16 a step whose gradients overflow is skipped: it has neither this moment nor the next.
        """

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
