"""What a report knows of the chain of studies that its study belongs to, as the ledger had it."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from coregpt.report.facts.base import Facts, without_nothing


class OtherStudy(Facts):
    """Another study on the same baseline, data and metric."""

    name: str
    stage: Literal["screen", "confirmation", "pilot"]
    machine: str = ""
    """Whose ledger has it, by its first letters; empty for this one's."""
    verdicts: dict[str, str] = Field(default_factory=dict)
    """By arm, as its report said; empty while it has none."""


class EarlierClaims(Facts):
    """Studies on this baseline that could have called an arm better and are in no ledger."""

    claims: int
    why: str


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
    others: tuple[OtherStudy, ...] | None = None
    """Every other study on this baseline and metric, whatever its chain is called; None where there is none."""
    earlier: EarlierClaims | None = None
    """What the study says was tried before it where no ledger has it; it is counted in `k`."""
    twice: tuple[int, ...] = ()
    """Places that two confirmations have, registered on machines that did not know of each other."""

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "others", "earlier")
