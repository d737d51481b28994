"""Low precision in the training pass: autocast, and the loss scale that keeps fp16's small gradients from vanishing.

fp16 has no numbers below 6e-8 and none above 65504. The loss is multiplied by a scale before the backward pass and
gradients are divided by it afterwards; powers of two, so that nothing is rounded. Where a gradient still overflows the
step is skipped and the scale is halved; after many good steps it is doubled (Micikevicius et al. 2018,
arXiv:1710.03740). The rule and its numbers are those of `torch.amp.GradScaler`, with one difference: gradients that
overflow with a scale of 1 end the run, since no smaller one would help.
"""

import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import Precision

LARGEST = 2.0**127
"""The largest power of two in fp32."""
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: str, precision: Precision) -> AbstractContextManager[Any]:
    """The training pass computes products in this precision while it lasts; `device` is a type, such as `cuda`."""
    return contextlib.nullcontext() if precision == "fp32" else torch.autocast(device, DTYPES[precision])


@dataclass
class LossScale:
    """The scale of one run. Every rank holds the same one, since it is told of gradients that are summed over ranks."""

    scale: float = 2.0**16
    good: int = 0
    """Steps since the scale last changed."""
    skipped: int = 0
    """Steps of the run that were left out."""
    failed: bool = False
    """Gradients overflowed although nothing was scaled."""

    growth_interval = 2000

    def unscale(self, gradients: Iterable[Tensor]) -> bool:
        """Divides gradients by the scale, in place; whether all of them are finite. Waits for the device."""
        fine = [gradient.div_(self.scale).isfinite().all() for gradient in gradients]
        return bool(torch.stack(fine).all())

    def update(self, finite: bool) -> None:
        """The end of a step: was it taken, or skipped because gradients were not finite?"""
        if finite:
            self.good += 1
            if self.good == self.growth_interval:
                self.scale, self.good = min(2 * self.scale, LARGEST), 0
        else:
            self.failed = self.scale <= 1
            self.scale, self.good, self.skipped = self.scale / 2, 0, self.skipped + 1

    def metrics(self) -> dict[str, float]:
        """For the run's log."""
        return {"loss_scale": self.scale, "skipped_steps": self.skipped}

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; `LossScale(**state)` takes it back."""
        return asdict(self)

    def notes(self, steps: int) -> tuple[str, ...]:
        """What a reader of the result must know."""
        if not self.skipped:
            return ()
        return (f"{self.skipped} of {steps} steps were skipped: their gradients did not fit in fp16",)
