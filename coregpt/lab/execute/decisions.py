"""What designs have decided about arms, entered into the ledger when it can first be seen.

Which arms are decided follows from the results on disk alone; the ledger's entries are for the record.
"""

from pathlib import Path

from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.design import Decision, Verdict
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.outline import Plan


def decisions(plan: Plan, store: Path) -> dict[str, Decision]:
    """By arm."""
    return {arm: made for design in DESIGNS for arm, made in design.decisions(plan, store).items()}


def note(plan: Plan, store: Path) -> list[str]:
    """Enter decisions that the ledger does not have yet; returns a line on each."""
    new, ledger = decisions(plan, store), Ledger.of(store)
    if not new:
        return []
    with ledger.locked():
        known = noted(plan, store)
        fresh = {arm: made for arm, made in new.items() if (arm, made.pairs, made.name) not in known}
        for arm, made in fresh.items():
            study = {"study": plan.study.name, "digest": plan.study.digest}
            ledger.add("looked", **study, arm=arm, pairs=made.pairs, decision=made.name)
    return [f"{arm}: {made.words.format(n=made.pairs)}" for arm, made in fresh.items()]


def noted(plan: Plan, store: Path) -> list[tuple[str, int, Verdict]]:
    """Decisions that the ledger has of this declaration, sorted: arm, seeds, name. Raises LedgerError."""
    entries = [entry for entry in Ledger.of(store).read() if entry.event == "looked"]
    mine = [entry for entry in entries if (entry["study"], entry["digest"]) == (plan.study.name, plan.study.digest)]
    return sorted((entry["arm"], entry["pairs"], entry["decision"]) for entry in mine)
