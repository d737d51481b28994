"""A study's place in its chain, as the ledger has it."""

from pathlib import Path
from typing import Any

from coregpt.lab.records.chains import Chains, Registration
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.study.chaining import earlier, screens
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.chain import ChainFacts, EarlierClaims, OtherStudy
from coregpt.report.reading.collector import Collector


class Chain(Collector):
    """The latest registration of the study; none where the ledger is broken, which the runs say."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"stage": "screen" if screens(plan.study) else None, "chain": _facts(plan.study, store)}


def _facts(study: Study, store: Path) -> ChainFacts | None:
    try:
        chains = Chains(Ledger.of(store).read())
    except LedgerError:
        return None
    found = chains.of(study.name)
    if found is None:
        return None
    place, before = found.place, earlier(study)
    return ChainFacts(
        chain=found.chain,
        stage=found.stage,
        source=found.source,
        alpha=found.alpha,
        k=place.k if place else None,
        confirmed=place.confirmed if place else None,
        level=place.level if place else None,
        confirmations=len(chains.confirmations(found.chain)),
        beside={each: len(chains.confirmations(each)) for each in chains.beside(found.chain)},
        others=_others(found, chains) or None,
        earlier=EarlierClaims(claims=before.claims, why=before.why) if before else None,
        twice=tuple(chains.twice(found.chain)),
    )


def _others(mine: Registration, chains: Chains) -> tuple[OtherStudy, ...]:
    """In the order in which they were registered here."""
    found = []
    for each in chains.registrations:
        if each.baseline != mine.baseline or (each.machine, each.study) == (mine.machine, mine.study):
            continue
        outcome = chains.outcome(each)
        said = {arm: str(of["verdict"]) for arm, of in outcome.arms.items()} if outcome else {}
        found.append(OtherStudy(name=each.study, stage=each.stage, machine=each.machine[:8], verdicts=said))
    return tuple(found)
