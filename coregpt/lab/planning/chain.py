"""A study's place in the chain of its baseline: which seeds a confirmation gets, at which level it is tested.

Both are decided when the study is registered, before its first run, from what the ledger has then; they are written
there and not into the study, whose digest stays that of its file.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.power import announced
from coregpt.lab.records.chains import Chains, Place, Registration, Stage, seeds_of
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.study.chaining import (
    as_baseline,
    baseline_of,
    chain_of,
    confirms,
    earlier,
    follows,
    screens,
    unresolved,
)
from coregpt.lab.study.declaration import Criterion, Study
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.sections.chain import ConfirmsFile, FollowsFile
from coregpt.lab.study.whereabouts import where
from coregpt.stats.power import seeds_to_detect

ALPHA: float = Criterion.model_fields["alpha"].default
"""Of a chain whose first confirmation says nothing else."""


def stage_of(study: Study) -> Stage:
    """What may say "better" is a confirmation; what passes arms on is a screen, what can decide nothing a pilot."""
    if screens(study) or study.criterion.screen is not None:
        return "screen"
    return "pilot" if study.criterion.pilot or not announced(study, 1.0)[0].can_test else "confirmation"


def resolved(study: Study, store: Path) -> Study:
    """A confirmation with its fresh seeds and its level in place of alpha; any other study as it is.

    As registered, or as it would be registered now. Raises ConfigError if the study that it confirms is not on record.
    """
    if not study.unresolved:
        return study
    entries = Ledger.of(store).read()
    chains = Chains(entries)
    known = chains.of(study.name, study.digest)
    place = known.place if known else place_of(study, "", chains)
    seeds = known.seeds if known else fresh(entries, len(study.seeds))
    level = place.level if place else declared_alpha(study)
    return replace(study, seeds=seeds, criterion=study.criterion.model_copy(update={"alpha": level}))


def in_chain_of(known: Registration, study: Study, chains: Chains) -> Study:
    """A study, made of one on record, as another one of that one's chain, with as many fresh seeds; see `resolved`."""
    first = chains.first(known.chain)
    alpha = first.alpha if first else ALPHA
    test = study.criterion.model_copy(update={"alpha": alpha})
    asked = ConfirmsFile(study=known.study, digest=known.digest)
    return unresolved(replace(study, criterion=test, designs={**study.designs, "confirms": asked}))


def fresh(entries: list[Entry], number: int) -> tuple[int, ...]:
    """The first seeds that no run on record has."""
    used = seeds_of(entries)
    return tuple(itertools.islice((seed for seed in itertools.count() if seed not in used), number))


def source(study: Study, chains: Chains) -> Registration:
    """The study whose candidate is confirmed. Raises ConfigError if no ledger that was merged has it."""
    asked = confirms(study)
    assert asked is not None
    found = chains.anywhere(asked.study, asked.digest)
    if found is None:
        raise ConfigError(
            f"{where(study, 'confirms')}: the ledger has no study '{asked.study}' with digest {asked.digest[:12]}, so "
            "which seeds its chain has used is not known here; take in the ledger of the machine on which it ran: "
            "coregpt ledger merge FOLDER"
        )
    return found


def declared_alpha(study: Study) -> float:
    """Of its chain, as the study says."""
    test = study.unresolved.get("test")
    return float(test["alpha"]) if test else study.criterion.alpha


def chained(study: Study, data: str, chains: Chains) -> str:
    """The chain of any study; `data` is their digest."""
    if confirms(study):
        return source(study, chains).chain
    return succeeded(study, data, chains).chain if follows(study) else chain_of(study, data)


def succeeded(study: Study, data: str, chains: Chains) -> Registration:
    """The confirmation whose find is this study's baseline. Raises ConfigError if there is none, or it is another."""
    asked, place = follows(study), where(study, "follows")
    assert asked is not None
    found = chains.anywhere(asked.study, asked.digest)
    if found is None:
        raise ConfigError(f"{place}: the ledger has no study '{asked.study}' with digest {asked.digest[:12]}")
    outcome = chains.outcome(found)
    if outcome is None or asked.arm not in outcome.confirmed:
        raise ConfigError(f"{place}: '{asked.study}' has not confirmed '{asked.arm}'")
    if found.arms.get(asked.arm) != baseline_of(study, data):
        raise ConfigError(f"{place}: the baseline is not '{asked.arm}' as '{asked.study}' has confirmed it")
    return found


def followed(study: Study, data: str, chains: Chains) -> FollowsFile | None:
    """The confirmation that has made this study's baseline, the latest one; None for a baseline of its own."""
    name, mine = study.designs.get("chain") or "", baseline_of(study, data)
    for each in reversed(chains.registrations):
        outcome = chains.outcome(each)
        if each.stage == "confirmation" and each.chain.partition("/")[2] == name and outcome is not None:
            for arm in outcome.confirmed:
                if each.arms.get(arm) == mine:
                    return FollowsFile(study=each.study, digest=each.digest, arm=arm)
    return None


def place_of(study: Study, data: str, chains: Chains) -> Place | None:
    """Where a study stands, or would stand if it were registered now; None for what spends nothing.

    Raises ConfigError for another alpha than its chain's.
    """
    if stage_of(study) != "confirmation":
        return None
    chain, alpha = chained(study, data, chains), declared_alpha(study)
    known = next((each for each in chains.confirmations(chain) if _same(each, study)), None)
    first = chains.first(chain)
    alone = known is not None and chains.confirmations(chain) == [known]
    if first is not None and first.alpha != alpha and not alone:
        raise ConfigError(
            f"{where(study, 'test', 'alpha')}: is {alpha:g}, but {first.alpha:g} in the chain of studies on this "
            f"baseline, set by its first one, '{first.study}': it is the share of false claims among all that a chain "
            f"confirms. Write alpha: {first.alpha:g}, or declare another chain (chain: NAME)"
        )
    unseen = said.claims if (said := earlier(study)) else 0
    if known is not None and known.place is not None:
        behind = unseen + chains.confirmations(chain).index(known) + 1
        return replace(known.place, alpha=alpha, k=max(known.place.k, behind))
    return chains.next(chain, alpha, unseen)


def refuse(study: Study, data: str, store: Path) -> None:
    """Before anything is written: raises ConfigError for a study that its chain would not take."""
    place_of(study, data, Chains(Ledger.of(store).read()))


@dataclass(frozen=True)
class Standing:
    """A confirmation as it stands in its chain, or would if it were registered now."""

    chain: str
    place: Place
    registered: bool
    level: float
    """At which the chain tests it; alone in its chain a study of its own keeps its alpha."""
    power: float
    detectable: float | None
    """In the unit of the metric, at that level with that power and the seeds declared; None: no difference."""
    needed: int | None
    """Seeds for a difference of the margin; None: more than a thousand."""


def standing(made: Plan, sd: float, store: Path) -> Standing | None:
    """None for what spends nothing; `sd` is that of a paired difference."""
    study = made.study
    chains = Chains(Ledger.of(store).read())
    place = place_of(study, made.source.digest, chains)
    if place is None:
        return None
    chain = chained(study, made.source.digest, chains)
    known = any(_same(each, study) for each in chains.confirmations(chain))
    alone = place.k == 1 and len(chains.confirmations(chain)) <= known and not confirms(study)
    level, test = place.alpha if alone else place.level, study.criterion
    at = replace(study, criterion=test.model_copy(update={"alpha": level}))
    treatments, tuned = len(study.compared) - 1, bool({"bracket", "tuned"} & study.designs.keys())
    needed = seeds_to_detect(test.margin, sd, treatments, alpha=level, power=test.power, tuned=tuned)
    return Standing(chain, place, known, level, test.power, announced(at, sd)[1], needed)


def told(found: Standing, study: Study, unit: str) -> list[str]:
    """What `coregpt plan` says of it."""
    place, is_ = found.place, "is" if found.registered else "would be"
    spent = f"confirmation {place.k} of chain {found.chain} ({place.confirmed} before it confirmed)"
    many = "more than 1000 seeds" if found.needed is None else f"{found.needed} seeds"
    margin = f"difference of the margin, {study.criterion.margin:g}, takes {many}"
    if found.level == place.alpha:
        return [f"Chain: this {is_} {spent}; alone in it, it keeps alpha {place.alpha:g}. There a {margin}."]
    lines = [f"Chain: this {is_} {spent}, tested there at {found.level:.3g} of alpha {place.alpha:g}."]
    seeds = f"{len(study.seeds)} seeds"
    if found.detectable is None:
        first = f"At that level {seeds} can show no difference"
    else:
        detectable = f"{found.detectable:.2g} {unit}".rstrip()
        first = f"At that level {seeds} detect {detectable} with probability {found.power:g}"
    return [*lines, f"{first}; a {margin}."]


def enter(study: Study, data: str, ledger: Ledger) -> None:
    """Register a study in its chain, unless it is; the caller holds the ledger's lock. Raises as `place_of`."""
    entries = ledger.read()
    chains = Chains(entries)
    chain, place, stage = chained(study, data, chains), place_of(study, data, chains), stage_of(study)
    known = next((each for each in chains.studies(chain) if _same(each, study)), None)
    if known is not None and known.digest == study.digest and place in (None, known.place):
        return
    if study.unresolved:
        _still_so(study, place, known, entries)
    asked = confirms(study)
    ledger.add(
        "chained",
        study=study.name,
        digest=study.digest,
        chain=chain,
        stage=stage,
        source=asked.study if asked else "",
        seeds=list(study.seeds),
        alpha=declared_alpha(study),
        **({"k": place.k, "confirmed": place.confirmed, "level": place.level, **_arms(study, data)} if place else {}),
    )


def conclude(study: Study, arms: Mapping[str, Mapping[str, Any]], store: Path) -> None:
    """Enter what the report said of each arm, unless that is the latest on record."""
    ledger = Ledger.of(store)
    with ledger.locked():
        entries = ledger.read()
        known = Chains(entries).of(study.name)
        if known is None:
            return
        said = {arm: dict(each) for arm, each in arms.items()}
        own = [e for e in entries if e.event == "concluded" and e["study"] == study.name]
        before = [e for e in own if e["chain"] == known.chain]
        if not before or (before[-1]["arms"], before[-1]["digest"]) != (said, study.digest):
            ledger.add("concluded", study=study.name, digest=study.digest, chain=known.chain, arms=said)


def _arms(study: Study, data: str) -> dict[str, dict[str, str]]:
    """What the chain of each arm would be called that the study may confirm, for whoever makes one the baseline."""
    names = [arm.name for arm in study.written if arm.name != study.criterion.baseline]
    return {"arms": {name: as_baseline(study, name, data) for name in names}}


def _same(known: Registration, study: Study) -> bool:
    return not known.machine and known.study == study.name


def _still_so(study: Study, place: Place | None, known: Registration | None, entries: list[Entry]) -> None:
    """Raises ConfigError if another study was registered since the seeds and the level of this one were found."""
    level = place.level if place else declared_alpha(study)
    taken = known is None and study.seeds != fresh(entries, len(study.seeds))
    if taken or study.criterion.alpha != level:
        raise ConfigError(f"{study.path}: another study was registered meanwhile; the same command tries again")
