"""What `verdict.json` holds: a report in less than two kilobytes, for programs that decide what to do next."""

from typing import Annotated, Literal

from pydantic import Field

from coregpt.report.facts.base import Facts, Interval

VERDICT_SCHEMA: Literal[1] = 1
BYTES = 2000
"""No `verdict.json` is longer."""

Decision = Literal["better", "worse", "equivalent", "undecided", "broken"]


class Further(Facts):
    """What would settle an undecided arm."""

    seeds: int
    """More of them, per arm."""
    runs: int
    """Of the arm and the baseline together."""
    hours: float | None
    """Of training on the machine that trained the others; None where nobody measured it."""


class ArmVerdict(Facts):
    """One arm against the baseline. A gain is the baseline's metric minus the arm's: above 0 the arm is better."""

    arm: str
    verdict: str | None
    """The report's word: better, worse, equivalent, inconclusive, unstable, invalid, ...; None in a pilot."""
    size: str = ""
    """Of a difference that is there: `below the margin`, `at least the margin`, or not known."""
    gain: float | None
    interval: Interval | None
    """The plain 95% interval of the gain."""
    p: float | None
    """Adjusted for the number of arms."""
    further: Further | None = None
    in_chain: Literal["confirmed", "not confirmed"] | None = None
    """What the chain of all studies on this baseline says, where there is more to it than this study."""


class Spent(Facts):
    """What the study's runs have taken, whichever study trained them first."""

    runs: int
    finished: int
    diverged: int
    lost: int
    """Failed or never complete."""
    train_hours: float
    """Sum over runs, those of tuning included; a run on several GPUs counts once."""
    flops: float | None


class VerdictFile(Facts):
    """A study's outcome; `verdict` and `exit_code` say what `--exit-verdict` does: of several arms the worst news."""

    schema_version: Literal[1] = Field(alias="schema")
    study: str
    digest: str
    headline: str
    """The report's first sentence, shortened where it is long."""
    verdict: Decision | None
    """None in a pilot."""
    exit_code: Annotated[int, Field(ge=10, le=14)]
    exploratory: bool
    """Whether something was changed or known beforehand; then nothing is decided, whatever an arm's word."""
    baseline: str
    metric: str
    unit: str
    alpha: float
    margin: float
    arms: tuple[ArmVerdict, ...]
    arms_left_out: int = 0
    """Of a study with many arms, the last ones; `report.json` has all."""
    cost: Spent
    next: str
    """What to do now, in a sentence."""
