"""Forks: what a branch is, what sharing the beginning saved, and arms that turned out to change nothing."""

from collections.abc import Sequence

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.fork import Fork
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.runs import RunFacts


def fork_cost(study: StudyFacts, runs: Sequence[RunFacts]) -> Fork | None:
    """What the study trained, the trunk of a seed counted once; None for a study without a fork.

    Planned amounts, not measured ones: a run that diverged would have cost the rest of its share too.
    """
    fork = study.fork
    if fork is None:
        return None
    base = next(arm for arm in study.arms if arm.name == study.baseline)
    seeds = len(study.seeds)
    tokens = [arm.tokens or 0 for arm in study.arms]
    rates = [arm.flops_per_token or 0.0 for arm in study.arms]
    trunk_flops = fork.tokens * (base.flops_per_token or 0.0)
    branches = [(own - fork.tokens) * rate for own, rate in zip(tokens, rates, strict=True)]
    whole = [own * rate for own, rate in zip(tokens, rates, strict=True)]
    return Fork(
        share=fork.tokens / (base.tokens or 1),
        tokens=seeds * (fork.tokens + sum(own - fork.tokens for own in tokens)),
        flops=seeds * (trunk_flops + sum(branches)),
        whole_tokens=seeds * sum(tokens),
        whole_flops=seeds * sum(whole),
        unchanged=tuple(arm for arm in study.treatments if _unchanged(study.baseline, arm, runs)),
    )


def fork_notes(study: StudyFacts, found: Fork | None) -> list[str]:
    """What the verdicts of a fork are about, and what they are not about."""
    if found is None or study.fork is None:
        return []
    notes = [fork_reading(study)]
    if found.unchanged:
        names = listing(list(found.unchanged))
        notes.append(
            f"{names} ended at exactly the baseline's number with every seed: what is changed there acts before the "
            "fork or not at all, and this study cannot speak about it."
        )
    return notes


def fork_reading(study: StudyFacts) -> str:
    """What a branch is."""
    assert study.fork is not None
    step = study.fork.step
    return (
        f"Every arm is {study.baseline} until step {step:,} and its own settings afterwards: the runs of one seed are "
        f"branches of one trunk of {plural(step, 'step')}. A verdict says what the change does when it is made "
        "there, not what it does from the start of training."
    )


def _unchanged(baseline: str, arm: str, runs: Sequence[RunFacts]) -> bool:
    ends: dict[str, dict[int, float | None]] = {baseline: {}, arm: {}}
    for run in runs:
        if run.arm in ends and run.status == "finished":
            ends[run.arm][run.seed] = run.value
    both = ends[arm].keys() & ends[baseline].keys()
    return bool(both) and all(ends[arm][seed] == ends[baseline][seed] for seed in both)
