"""A study that was declared a pilot: its runs are shown, and nothing is tested or called anything."""

from dataclasses import replace

from coregpt.report.verdicts.basis import Basis
from coregpt.stats.design import Design

REASON = "declared a pilot, whose runs are wanted without a verdict"


def untested(basis: Basis) -> Basis:
    """Whatever the seeds would allow."""
    design = basis.design
    none = Design("none", design.n_seeds, design.n_treatments, 0, REASON)
    return replace(basis, design=none, prior=None, detectable=None)
