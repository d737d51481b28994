"""What a report is made from: plain facts about single runs.

Everything measured with a clock (and peak memory, which also varies between executions) lives in `RunTiming`, so that
the rest of two executions of one study is equal.
"""

from typing import Literal, NamedTuple, Self

from pydantic import model_validator

from coregpt.report.facts.base import Facts

RunStatus = Literal["finished", "diverged", "failed", "missing", "spared", "aborted"]
"""Spared: never needed, as its arm was decided before. Aborted: paused, and not finished for want of prospects."""


class CurvePoint(NamedTuple):
    """One evaluation during training; `value` is in the study's unit and may be NaN after divergence.

    Tokens and FLOPs are None where nobody counted them (imported logs).
    """

    step: int
    tokens: int | None
    flops: float | None
    value: float


class OtherRun(Facts):
    """A run that was started for the study and is not among those analysed."""

    run_id: str
    arm: str
    seed: int
    status: Literal["finished", "diverged", "failed", "unfinished"]
    value: float | None
    reason: str


class RunTiming(Facts):
    """What a clock or a memory counter measured during one run. Never part of a verdict."""

    tokens_per_second: float | None = None
    train_seconds: float | None = None
    compile_seconds: float | None = None
    peak_memory_bytes: int | None = None
    first_started: str = ""
    """When the ledger saw the run start for the first time, in UTC."""
    attempts: int | None = None
    seconds: tuple[float, ...] = ()
    """Training seconds at each curve point; empty if not measured."""


class RunFacts(Facts):
    """One arm with one seed. `value` is the final loss on the stream that the study reads, None when there is none."""

    run_id: str
    arm: str
    seed: int
    status: RunStatus
    value: float | None = None
    select: float | None = None
    """Final loss on `select`, where the run has one and the study reads `held_out`."""
    sealed: float | None = None
    """The same on the second text, which tells whether an arm is better or knows the text of `held_out`."""
    reason: str = ""
    curve: tuple[CurvePoint, ...] = ()
    timing: RunTiming = RunTiming()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status == "finished" and self.value is None:
            raise ValueError(f"run {self.run_id!r} is finished but has no value")
        if self.timing.seconds and len(self.timing.seconds) != len(self.curve):
            raise ValueError(
                f"run {self.run_id!r} has {len(self.curve)} curve points but {len(self.timing.seconds)} seconds"
            )
        return self
