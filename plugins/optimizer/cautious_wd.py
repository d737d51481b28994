"""Shrink only those weights that the step is shrinking already.

Of the decay D that a weight W would lose in a step along U (W <- W - D - lr U), only

    D 1[U W >= 0]  in matrices,        D 1[U W > 0]  in everything else

is subtracted, with W before the step. A weight that the gradient wants larger in size keeps what it has.

Suggested settings: a decay several times larger than without it; in the records with `wd_schedule`, so that it falls
with the learning rate a second time, and 1.2 x lr for matrices (record 43).
When it hurts / conflicts: without decay it has nothing to do. Rules that hold the norm of a matrix (hyperball,
psgd_kron) are no decay and exclude it; behind `radial_brake` the weights decay after their radius is set.
Source: Chen et al. 2025, arXiv:2510.12402; modded-nanogpt records 43 (matrices) and 50 (the rest), whose masks
differ in what becomes of U W = 0, as above.
"""

from collections.abc import Generator
from typing import ClassVar

from torch import Tensor

from coregpt.api import DecayRule, Dials, ParamGroup, Plugin, hookimpl


class CautiousWd(Plugin):
    """Wraps every decay."""

    conflicts: ClassVar[tuple[str, ...]] = ("hyperball", "psgd_kron")

    @hookimpl(wrapper=True)
    def make_decay(self, group: ParamGroup) -> Generator[None, DecayRule, DecayRule]:
        return Masked((yield), ties=group.role == "matrix")


class Masked:
    """The decay rule `inner` where update and weight have one sign; `ties`: also where one of them is zero."""

    def __init__(self, inner: DecayRule, ties: bool):
        self.inner, self.ties = inner, ties

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        agreement = update * p
        kept = agreement >= 0 if self.ties else agreement > 0
        return self.inner.amount(p, update, lr, weight_decay, dials) * kept
