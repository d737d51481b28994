"""When a study may decide its arms, and what it decided as the ledger has it."""

from pathlib import Path
from typing import Any

from coregpt.lab.execute.decisions import noted
from coregpt.lab.records.ledger import LedgerError
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.inputs import Decided, RuleFacts
from coregpt.report.reading.collector import Collector


class Looks(Collector):
    """The rule, and every decision on an arm, those of an abort too."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        return {"rule": _rule(plan), "decided": _decided(plan, store)}


def _rule(plan: Plan) -> RuleFacts | None:
    test = plan.study.criterion
    if not test.looks and not test.anytime:
        return None
    sizes, spending = test.looks or (len(plan.study.seeds),), test.spending or "pocock"
    return RuleFacts(sizes=sizes, anytime=test.anytime, spending=spending, futility=test.futility)


def _decided(plan: Plan, store: Path) -> tuple[Decided, ...]:
    """Nothing if the ledger is broken, which the runs say."""
    try:
        return tuple(Decided(arm=arm, pairs=n, decision=how) for arm, n, how in noted(plan, store))
    except LedgerError:
        return ()
