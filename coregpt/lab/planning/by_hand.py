"""Seeds listed by hand: everybody's are 0, 1, 2 and so on; others may have been chosen in sight of their results."""

from coregpt.lab.records.chains import seeds_of
from coregpt.lab.records.known_seeds import known_seeds
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.identity import run_id
from coregpt.lab.study.outline import Plan


def listed_by_hand(study: Study) -> bool:
    """Whether a study's file chose its seeds; fresh ones that its registration found are nobody's choice."""
    return not study.unresolved and study.seeds != tuple(range(len(study.seeds)))


def chosen(plan: Plan, ledger: Ledger) -> dict[str, list[int]]:
    """What to record of seeds that were listed by hand when results of the baseline with them were known.

    Nothing where the study takes every seed whose result was known: then there was nothing to choose.
    """
    if not listed_by_hand(plan.study):
        return {}
    entries = ledger.read()
    known = known_seeds(entries, plan.study.name, _baseline_ids(plan, seeds_of(entries)), ledger.path.parent)
    taken, left = known & set(plan.study.seeds), known - set(plan.study.seeds)
    return {"seeds": sorted(taken), "left": sorted(left)} if taken and left else {}


def _baseline_ids(plan: Plan, seeds: set[int]) -> dict[str, int]:
    """The ids that runs of the baseline have here with other seeds, whichever study they were planned by."""
    like = next(run for run in plan.runs if run.arm == plan.baseline.name)
    if plan.trunks:  # a branch is named by its trunk, which has a seed of its own
        return {}
    found = {}
    for seed in seeds:
        config = like.config.model_copy(update={"seed": seed, "data_seed": seed})
        found[run_id(config, like.record["plugins"], like.record["data"])] = seed
    return found
