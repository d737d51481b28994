"""What a report knows of the chain of studies that its study belongs to, as the ledger had it."""

from typing import Literal

from pydantic import Field

from coregpt.report.facts.base import Facts


class ChainFacts(Facts):
    """The chain of all studies on this baseline, or another one that the study names."""

    chain: str
    """What it is called: the digest of the baseline, and the name if it has one."""
    stage: Literal["screen", "confirmation", "pilot"]
    source: str = ""
    """The study whose candidate is tested again at the settings found there; empty for a study of its own."""
    alpha: float
    """Of the chain: the share of false claims among those that it confirms, on average, is at most that."""
    k: int | None = None
    """It is the k-th confirmation; None for what spends nothing."""
    confirmed: int | None = None
    """Of those before it, when it was registered."""
    level: float | None = None
    """At which the chain tests it."""
    confirmations: int = 0
    """That the chain has had so far, this one and abandoned ones included."""
    beside: dict[str, int] = Field(default_factory=dict)
    """Confirmations of other chains on the same baseline."""
    twice: tuple[int, ...] = ()
    """Places that two confirmations have, registered on machines that did not know of each other."""
