"""A step that leaves every matrix with the Frobenius norm that it had."""

from coregpt_plugins._shared.matrices import frobenius
from torch import Tensor

from coregpt.api import Dials


def as_long_as(update: Tensor, p: Tensor) -> Tensor:
    """`update` (n, ..., r, c) with the Frobenius norms of p."""
    return update * (frobenius(p) / frobenius(update).clamp(min=1e-10))


class BackToTheSphere:
    """The decay that leaves W - lr update with the norm W had."""

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        moved = p - lr * update
        return moved - as_long_as(moved, p)
