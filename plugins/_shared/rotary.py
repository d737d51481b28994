"""The rotation of `rope` at speeds that may change while a run goes on, or of heads that share one sequence."""

from typing import Any

import torch
from coregpt_plugins._shared.inside import replaced
from torch import Tensor, nn

from coregpt.api import Context, PluginError


class Turning(nn.Module):
    """Turns q and k (B, T, H, D) by position times `speeds` (D/2) radians, which are saved with the run's weights.

    Where `apart` heads share a sequence, head h of token t stands at apart t + h % apart.
    """

    speeds: Tensor

    def __init__(self, rope: nn.Module):
        super().__init__()
        self.rotation: Any = rope.rotate
        self.apart = 1
        cos, sin = rope.cos[1, 0].double(), rope.sin[1, 0].double()  # type: ignore[index]
        half = len(cos) // 2
        self.register_buffer("speeds", torch.atan2(sin[:half], cos[:half]).float())

    def forward(self, q: Tensor, k: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        at = torch.arange(q.shape[1], device=q.device) if ctx.positions is None else ctx.positions
        at = at.unsqueeze(-1)  # (T, 1) or (B, T, 1)
        if self.apart > 1:
            at = at * self.apart + torch.arange(q.shape[2], device=q.device) % self.apart
        angles = at.unsqueeze(-1) * self.speeds
        cos, sin = angles.cos(), angles.sin()
        cos, sin = torch.cat((cos, cos), -1), torch.cat((sin, -sin), -1)
        return self.rotation(q, cos, sin), self.rotation(k, cos, sin)


def turning(position: nn.Module, who: str) -> tuple[nn.Module, Turning | None]:
    """`position` with a `Turning` in the place of rope's rotation, and that; None where nothing is rotated."""
    found = [part for part in position.modules() if isinstance(part, Turning)]
    if found:
        return position, found[0]
    if any("factors" in part._buffers for part in position.modules()):
        raise PluginError(f"'{who}' needs a rotation, which 'rope' with form 'nvidia' is not")
    made: list[Turning] = []

    def make(rope: nn.Module) -> Turning:
        if len(rope.cos) < 2:  # type: ignore[arg-type]
            raise PluginError(f"'{who}' beside 'rope' needs a context of at least 2 tokens")
        made.append(Turning(rope))
        return made[0]

    changed = replaced(position, lambda part: "cos" in part._buffers and hasattr(part, "rotate"), make)
    return (position, None) if changed is None else (changed, made[0])
