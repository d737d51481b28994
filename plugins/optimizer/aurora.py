"""Even out the rows of a matrix before it is orthogonalised, so that no output unit is left with a short update.

For a matrix u (r, c) with r > c, a wider one transposed, in `passes` passes:

    D = 1 / |row|                                           O = polar(D u)
    D <- D ((c / r) / max(|row of O|^2, 1e-16))^power       O = polar(D u)      in every pass after the first

In an orthogonal matrix of that shape the squares of a row sum to c / r on average, and that is what every row comes to.
Square matrices stay as they are.

Suggested settings: 2 passes and power 0.5 for all rectangular matrices (record 17), or 3 passes and 0.25 for wide ones
(record 30).
When it hurts / conflicts: every pass after the first is another orthogonalisation. `normuon` evens rows out after the
fact and as a running mean. Removed again in record 44.
Source: modded-nanogpt optimization track, records 17 and 30.
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.around_polar import AroundPolar
from coregpt_plugins._shared.matrices import is_matrix
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from coregpt.api import ParamGroup, Plugin, UpdateRule, hookimpl


class Aurora(Plugin):
    """Goes around Muon's polar factor."""

    after: ClassVar[tuple[str, ...]] = ("muon", "schatten_norm")
    requires: ClassVar[tuple[str, ...]] = ("muon",)

    passes: PositiveInt = 2
    """Orthogonalisations per step."""
    power: NonNegativeFloat = 0.5
    """How much of what is missing a pass after the first makes up for."""
    wide_only: bool = False
    """Leave matrices that are taller than wide to Muon."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        if not is_matrix(group):
            return rule
        rows, columns = group.shape[-2:]
        meant = columns > rows or (rows > columns and not self.wide_only)
        return EvenRows(rule, self) if meant else rule


class EvenRows(AroundPolar):
    """Muon's rule for rectangular matrices with even rows, or columns where there are more of those."""

    def __init__(self, inner: UpdateRule, options: Aurora):
        super().__init__(inner)
        self.options = options

    def polar(self, u: Tensor) -> Tensor:
        if u.shape[-1] == u.shape[-2]:  # slices of a rectangular matrix may be square
            return self.plain(u)
        wide = u.shape[-1] > u.shape[-2]
        tall = u.mT if wide else u
        share = tall.shape[-1] / tall.shape[-2]
        scale = tall.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-20).reciprocal()
        result = self.rows_of(scale * tall, wide)
        for _ in range(self.options.passes - 1):
            size = result.square().sum(-1, keepdim=True)
            scale = scale * (share / size.clamp(min=1e-16)) ** self.options.power
            result = self.rows_of(scale * tall, wide)
        return result.mT if wide else result

    def rows_of(self, tall: Tensor, wide: bool) -> Tensor:
        """The polar factor of a tall matrix that stands for a wide one, or for itself; tall again."""
        return self.plain(tall.mT).mT if wide else self.plain(tall)
