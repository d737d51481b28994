"""What the ledger says about chains: many studies of one baseline, each registered, tested at a level of its own.

A chain is called by the digest of its baseline (configuration without the technique, data and metric), `3f2a91c04b7d`,
or by that and the name that its studies gave it, `3f2a91c04b7d/optimizers`. Studies that may say "better" are its
confirmations; screens and pilots spend nothing. The level of a confirmation is fixed when it is registered, before its
first run, whatever becomes of it. Entries of other machines' ledgers count like own ones once they are merged.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from coregpt.lab.records.ledger import Entry
from coregpt.lab.records.merging import Told, told
from coregpt.stats import lond

Stage = Literal["screen", "confirmation", "pilot"]


@dataclass(frozen=True)
class Place:
    """Where a confirmation stands in its chain."""

    k: int
    """It is the k-th."""
    confirmed: int
    """Of those before it, as known when it was registered."""
    alpha: float
    """Of the chain."""

    @property
    def level(self) -> float:
        return lond.level(self.alpha, self.k, self.confirmed)


@dataclass(frozen=True)
class Registration:
    """One study in one chain. `machine` tells ledgers apart and is empty for one's own."""

    machine: str
    study: str
    digest: str
    chain: str
    stage: Stage
    source: str
    """The study whose candidate it confirms, or that it verifies; empty for a study of its own."""
    seeds: tuple[int, ...]
    time: str
    alpha: float
    place: Place | None
    """None for what spends nothing."""
    arms: Mapping[str, str] = field(default_factory=dict)
    """Of a confirmation: what the chain of each arm would be called, were it the baseline."""

    @property
    def baseline(self) -> str:
        return self.chain.partition("/")[0]


@dataclass(frozen=True)
class Outcome:
    """What the report of a study said, by arm: verdict, adjusted p, and whether the chain confirms it."""

    arms: dict[str, dict[str, Any]]

    @property
    def confirmed(self) -> tuple[str, ...]:
        return tuple(arm for arm, said in self.arms.items() if said["confirmed"])


class Chains:
    """Every chain of a ledger."""

    def __init__(self, entries: Iterable[Entry]):
        latest: dict[tuple[str, str, str], Registration] = {}
        self._outcomes: dict[tuple[str, str, str], Outcome] = {}
        for each in told(entries):
            if each.event not in ("chained", "concluded"):
                continue
            key = (each.machine, each["study"], each["chain"])
            if each.event == "chained":
                before, now = latest.get(key), _registration(each)
                if before is not None and before.place is None and now.place is not None:
                    del latest[key]  # a screen or pilot before: it stands where it became a confirmation
                latest[key] = _kept(before, now)
            else:
                self._outcomes[key] = Outcome(each["arms"])
        self.registrations = list(latest.values())
        """The latest of each study and chain, in the order in which they were made here."""

    def ids(self) -> list[str]:
        return list(dict.fromkeys(each.chain for each in self.registrations))

    def of(self, study: str, digest: str = "") -> Registration | None:
        """The latest registration of an own study (by its digest, if that is given)."""
        return next((each for each in self._latest(study, digest) if not each.machine), None)

    def anywhere(self, study: str, digest: str) -> Registration | None:
        """Of a study that any of the merged ledgers has."""
        return next(iter(self._latest(study, digest)), None)

    def studies(self, chain: str) -> list[Registration]:
        return [each for each in self.registrations if each.chain == chain]

    def confirmations(self, chain: str) -> list[Registration]:
        return [each for each in self.studies(chain) if each.stage == "confirmation"]

    def outcome(self, registration: Registration) -> Outcome | None:
        """None while nothing was reported of it."""
        return self._outcomes.get((registration.machine, registration.study, registration.chain))

    def next(self, chain: str, alpha: float, earlier: int = 0) -> Place:
        """Where a confirmation stands that is registered now, behind `earlier` ones that no ledger has."""
        before = self.confirmations(chain)
        outcomes = map(self.outcome, before)
        unseen = max(earlier, self.unseen(chain))
        return Place(unseen + len(before) + 1, sum(bool(each and each.confirmed) for each in outcomes), alpha)

    def unseen(self, chain: str) -> int:
        """Claims without a record that a confirmation of the chain said were made before it."""
        places = enumerate((each.place for each in self.confirmations(chain)), 1)
        return max([0, *(place.k - number for number, place in places if place)])

    def first(self, chain: str) -> Registration | None:
        """The confirmation that set the chain's alpha: the earliest, whichever machine made it."""
        return min(self.confirmations(chain), key=lambda each: each.time, default=None)

    def beside(self, chain: str) -> list[str]:
        """Other chains on the same baseline."""
        baseline = chain.partition("/")[0]
        return [each for each in self.ids() if each != chain and each.partition("/")[0] == baseline]

    def twice(self, chain: str) -> list[int]:
        """Places taken by more than one confirmation: registered on machines that did not know of each other."""
        taken = [each.place.k for each in self.confirmations(chain) if each.place]
        return sorted({k for k in taken if taken.count(k) > 1})

    def _latest(self, study: str, digest: str) -> Iterator[Registration]:
        for each in reversed(self.registrations):
            if each.study == study and digest in ("", each.digest):
                yield each


def seeds_of(entries: Iterable[Entry]) -> set[int]:
    """Every seed of any run that was ever planned, of trials and brackets too, on any machine whose ledger is here."""
    found: set[int] = set()
    for each in told(entries):
        if isinstance(seed := each.get("seed"), int):
            found.add(seed)
        if each.event in ("declared", "amended", "replanned"):
            found |= {seed for _, _, seed in each["runs"]}
            declared = (value for value in each["declaration"].values() if isinstance(value, dict))
            found |= {seed for value in declared for seed in _listed(value.get("seeds"))}
    return found


def _kept(before: Registration | None, now: Registration) -> Registration:
    """What was registered as a confirmation stays one, whatever its file says later."""
    if before is None or before.place is None or now.place is not None:
        return now
    return replace(now, stage="confirmation", place=before.place)


def _listed(seeds: Any) -> list[int]:
    return seeds if isinstance(seeds, list) else []


def _registration(each: Told) -> Registration:
    place = Place(each["k"], each["confirmed"], each["alpha"]) if each["stage"] == "confirmation" else None
    return Registration(
        each.machine,
        each["study"],
        each["digest"],
        each["chain"],
        each["stage"],
        each["source"],
        tuple(each["seeds"]),
        each.time,
        each["alpha"],
        place,
        each.get("arms") or {},
    )
