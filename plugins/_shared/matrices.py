"""Sizes of matrices, which groups of parameters hold matrices, and which of them are meant."""

import torch
from torch import Tensor

from coregpt.api import Dials, ParamGroup


def is_matrix(group: ParamGroup) -> bool:
    """Whether these are linear maps of blocks, or stacks of them."""
    return group.role == "matrix" and len(group.shape) >= 2


def frobenius(x: Tensor) -> Tensor:
    """Root of the sum of squares of every matrix of x (n, ..., r, c), as (n, ..., 1, 1)."""
    size: Tensor = torch.linalg.matrix_norm(x, keepdim=True)
    return size


def schatten4(x: Tensor) -> Tensor:
    """(sum of sigma^4)^(1/4) over the singular values of every matrix (n, ..., r, c), as (n, ..., 1, 1).

    At least the largest of them, and much closer to it than the Frobenius norm.
    """
    wide = x.mT if x.shape[-2] > x.shape[-1] else x
    return frobenius(wide @ wide.mT).sqrt()


class Chosen:
    """The members of a group whose path has one of `words` among its parts, whichever rank holds them."""

    def __init__(self, group: ParamGroup, words: tuple[str, ...]):
        flags = [bool(set(words) & set(path.split("."))) for path in group.paths]
        self.any = any(flags)
        self.flags = torch.tensor([*flags, False])

    def __bool__(self) -> bool:
        return self.any

    def among(self, dials: Dials, like: Tensor) -> Tensor:
        """Booleans (n, 1, ..., 1) for the members that `like` (n, ...) holds; padding of a stack is not meant."""
        rows = dials["rows"]
        assert isinstance(rows, Tensor)
        self.flags = self.flags.to(like.device)
        return self.flags[rows.clamp(max=len(self.flags) - 1)].view(-1, *[1] * (like.dim() - 1))
