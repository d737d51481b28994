"""Leave out Adam's corrections for moments that start at zero, or make them where epsilon is already added.

    direction = m / (sqrt(v) + eps)      in the place of      (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

for parameters of the chosen roles. The first step is (1 - b1) / sqrt(1 - b2) times as long as the corrected one: 2 for
betas (0.8, 0.99), which then falls to 1 in some 1 / (1 - b2) steps. With `form: outside` both corrections are made, of
the quotient:

    direction = sqrt(1 - b2^t) / (1 - b1^t) x m / (sqrt(v) + eps)

so that epsilon stands beside the moment as it is. That is the corrected direction with eps / sqrt(1 - b2^t) for eps:
4.5 times as large in the first step at b2 = 0.95.

Suggested settings: scalars, as record 46 has it for gains and biases. `outside` for every role but `matrix`, with eps
1e-10, is how the short track writes Adam.
When it hurts / conflicts: with b2 near 1 early steps are long where b1 is not near 1 as well. `outside` differs only
where gradients are as small as epsilon in the first some 1 / (1 - b2) steps. Rules that do not count their steps do not
change. With its default it waits for a technique with scalars, which the plain model has none of.
Source: modded-nanogpt optimization track, records 44 to 46; `outside`: its short track, record 20 and later.
"""

from collections.abc import Generator
from typing import Any, ClassVar, Literal

from torch import Tensor

from coregpt.api import AdamW, Dials, ParamGroup, Plugin, Role, UpdateRule, hookimpl

LONG_AGO = 2**40
"""A step at which every correction is 1."""


class NoBiasCorrection(Plugin):
    """Goes around AdamW itself, inside of whatever goes around that."""

    neutral: ClassVar[dict[str, Any] | None] = {"roles": ()}

    roles: tuple[Role, ...] = ("scalar",)
    """Whose moments are taken as they are."""
    form: Literal["none", "outside"] = "none"
    """No corrections, or those of the quotient."""

    @hookimpl(wrapper=True)
    def make_update(self, group: ParamGroup) -> Generator[None, UpdateRule, UpdateRule]:
        rule = yield
        return within(rule, self.form) if group.role in self.roles else rule


def within(rule: Any, form: str) -> Any:
    """`rule` with AdamW uncorrected, at whatever depth; others count their steps for reasons of their own."""
    if isinstance(rule, AdamW):
        return Uncorrected(rule, form)
    if hasattr(rule, "inner"):
        rule.inner = within(rule.inner, form)
    return rule


class Uncorrected:
    """AdamW, as if it had run for ever; `outside` then corrects the quotient."""

    def __init__(self, inner: AdamW, form: str):
        self.form = form
        self.inner, self.lr, self.weight_decay = inner, inner.lr, inner.weight_decay

    def init(self, p: Tensor) -> dict[str, Tensor]:
        return self.inner.init(p)

    def direction(self, p: Tensor, g: Tensor, state: dict[str, Tensor], dials: Dials) -> Tensor:
        found = self.inner.toward(g, state, 1.0, 1.0)
        if self.form == "none":
            return found
        bias = self.inner.numbers(dials)
        return found * (bias["bias2"] ** 0.5 / bias["bias1"])
