"""What was measured of each finished run beside its metric."""

from pathlib import Path
from typing import Any

from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.records.outcomes import Measured, measured
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.evaluating import asked_of, question, tokens_of
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.evaluate import Evaluated, OutcomeFacts
from coregpt.report.reading.collector import Collector


class Evaluate(Collector):
    """Outcomes by arm and seed, and whether results were known when they were declared."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        study, asked = plan.study, asked_of(plan.study)
        if asked is None:
            return {}
        found = {(run.arm, run.seed): measured(RunFolder(store / run.id), question(asked, study)) for run in plan.runs}
        whole = [each for each in found.values() if each is not None]
        names = dict.fromkeys(name for each in whole for name in (*each.values, *each.refused))
        evaluated = Evaluated(
            stream=study.reads,
            tokens=tokens_of(asked, study),
            outcomes=tuple(
                OutcomeFacts(
                    name=name,
                    values={
                        arm.name: tuple(_value(found.get((arm.name, seed)), name) for seed in study.seeds)
                        for arm in study.compared
                    },
                )
                for name in names
            ),
            known=_known(plan, store),
            context=_context(plan) if asked.said.books is not None else None,
            lacking=(*_refused(found), *_unmeasured(plan, store, found)),
        )
        return {"evaluated": evaluated}


def _context(plan: Plan) -> int | None:
    """Tokens of a row, where all arms are trained on the same."""
    found = {arm.run.model.context for arm in plan.study.compared}
    return found.pop() if len(found) == 1 else None


Found = dict[tuple[str, int], Measured | None]


def _value(of_run: Measured | None, name: str) -> float | None:
    return None if of_run is None else of_run.values.get(name)


def _refused(found: Found) -> list[str]:
    """Once for each arm: what a model does not have does not depend on its seed."""
    said = {(arm, name): why for (arm, _), each in found.items() if each for name, why in each.refused.items()}
    return [f"{arm}: no {name}: {why}" for (arm, name), why in said.items()]


def _unmeasured(plan: Plan, store: Path, found: Found) -> list[str]:
    """Finished runs of which nothing was measured."""
    arms = {arm.name for arm in plan.study.compared}
    runs = [run for run in plan.runs if run.arm in arms and found[run.arm, run.seed] is None]
    left = [run for run in runs if (RunFolder(store / run.id).result() or {}).get("status") == "finished"]
    return [f"{run.arm}, seed {run.seed}: finished, and nothing was measured of it" for run in left]


def _known(plan: Plan, store: Path) -> int:
    """A ledger that is broken makes every verdict invalid and is told elsewhere."""
    try:
        return History(Ledger.of(store).read(), plan.study.name).known_when_watched()
    except LedgerError:
        return 0
