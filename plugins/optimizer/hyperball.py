"""Turn every matrix by an angle instead of adding to it: its Frobenius norm stays what it was at the start.

Whatever rule makes the direction U of a matrix W (AdamW, Muon, SOAP, ...):

    V = W - lr |W| U / max(|U|, 1e-10)
    W <- V |W| / max(|V|, 1e-10)

so the learning rate is the sine of the largest angle that a step can turn by, the size of U has no effect, and nothing
decays. AdamH is this alone, MuonH with `muon`, NorMuonH with `normuon` (whose last rescaling has no effect then),
SOAP-H with `soap` (betas 0.95 and 0.9, `every` 1) and KL-SOAP-H with `kl_soap`.

Suggested settings: lr 0.018, falling over the whole run (`split_cooldown` with matrices 1 and others 0.4 to 0.85).
When it hurts / conflicts: a matrix that starts at zero stays there, so not with `zero_init`. How large matrices start
now decides for the whole run: the source starts attention's output 1.25, the MLP's first matrix 1.5 and its second 3
times as large as torch does. Another rule that holds norms (ngpt, psgd_kron's sphere, radial_brake, uw_floor).
Source: modded-nanogpt optimization track, records 4 (AdamH), 5 (MuonH), 8 (NorMuonH) and 27 (SOAP-H).
"""

from collections.abc import Generator
from typing import ClassVar

from coregpt_plugins._shared.matrices import is_matrix
from coregpt_plugins._shared.sphere import BackToTheSphere, as_long_as
from pydantic import PositiveFloat
from torch import Tensor

from coregpt.api import DecayRule, Dials, ParamGroup, Plugin, UpdateRule, hookimpl


class Hyperball(Plugin):
    """Wraps the updates of matrices and claims their decay."""

    after: ClassVar[tuple[str, ...]] = ("cautious_adam", "langevin_noise", "muon", "normuon")
    conflicts: ClassVar[tuple[str, ...]] = ("muown", "ngpt", "radial_brake", "uw_floor", "zero_init")

    lr: PositiveFloat = 0.018
    """Peak learning rate of matrices, a share of their norm; the `lr` schedule multiplies it."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return Turning(rule, self.lr) if is_matrix(group) else rule

    @hookimpl
    def make_decay(self, group: ParamGroup) -> DecayRule | None:
        return BackToTheSphere() if is_matrix(group) else None


class Turning:
    """The update rule `inner`, every direction as long as the matrix."""

    weight_decay = 0.0

    def __init__(self, inner: UpdateRule, lr: float):
        self.inner, self.lr = inner, lr

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        return as_long_as(self.inner.direction(p, g, state, dials), p)
