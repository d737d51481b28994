"""Say how large initial weights are: matrices by how many inputs they have, embedding and tables by a number.

    W ~ N(0, gain^2 / inputs) for every matrix of attention and MLP;    E ~ N(0, embedding^2);    tables ~ N(0, table^2)

The value that would have been drawn is scaled, so that arms of one seed start alike. What starts at zero stays there.
Without `gain` or `table` those keep what they have.

Suggested settings: gain sqrt(0.33) = 0.57446 and embedding 1 (the speedrun's optimization track), beside `zero_init`
with its `head`; embedding and tables 1 from record 8 to 23.
When it hurts / conflicts: drops the smaller start of what writes into the stream, so give it a `zero_init` in deep
models. An embedding of 1 wants `norm_after_embed`. muP and nGPT say themselves how large matrices are. Where another
technique sets how matrices start, leave `gain` empty.
Source: modded-nanogpt's optimization track (baseline), record 8.
"""

import math
from typing import ClassVar

from pydantic import PositiveFloat
from torch import Tensor

from coregpt.api import ParamInfo, ParamRule, Plugin, hookimpl


class NormalInit(Plugin):
    """Scales initial values."""

    conflicts: ClassVar[tuple[str, ...]] = ("mup", "ngpt")

    gain: PositiveFloat | None = None
    """Standard deviation of a matrix times the root of its inputs. Empty: as it is."""
    embedding: PositiveFloat = 1.0
    """Standard deviation of the embedding."""
    table: PositiveFloat | None = None
    """Standard deviation of tables beside it. Empty: as it is."""

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        wanted = self.wanted(param)
        return None if wanted is None else ParamRule(init=lambda value: of_size(value, wanted))

    def wanted(self, param: ParamInfo) -> float | None:
        """The standard deviation of a parameter; None for one that stays as it is."""
        if len(param.shape) < 2:
            return None
        if param.role == "matrix":
            return None if self.gain is None else self.gain / math.sqrt(param.shape[-1])
        return {"embedding": self.embedding, "table": self.table}.get(param.role)


def of_size(value: Tensor, std: float) -> Tensor:
    """Centred numbers scaled to a root mean square of `std`; zeros as zeros."""
    size = value.square().mean().sqrt()
    return value * (std / size.clamp(min=1e-30))
