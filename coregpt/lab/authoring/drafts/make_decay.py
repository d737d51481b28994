"""Shrink a weight only while its update shrinks it too.

Suggested settings: the default.
When it hurts / conflicts: another rule of decay.
Source: Chen et al. 2025, arXiv:2510.12402 (cautious weight decay); replace this card by yours.
"""

from torch import Tensor

from coregpt.api import DecayRule, Dials, ParamGroup, Plugin, hookimpl


class Cautious:
    """lr x weight_decay x p where p and its update have one sign, else 0."""

    def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Dials) -> Tensor:
        return p * (lr * weight_decay) * (p * update > 0)


class Draft(Plugin):
    @hookimpl
    def make_decay(self, group: ParamGroup) -> DecayRule | None:
        return Cautious()
