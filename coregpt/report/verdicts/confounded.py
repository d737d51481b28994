"""What takes credit from a technique, arm by arm: settings that differ from the baseline's for no reason given."""

from collections.abc import Sequence

from coregpt.report.drawing.numbers import listing
from coregpt.report.facts.inputs import Confound, StudyFacts
from coregpt.report.facts.model import Comparison

JUDGED = ("better", "worse", "equivalent", "screened", "candidate")
"""Verdicts that somebody may credit to the technique."""
SAME = {"optim.weight_decay": "weight decay", "optim.lr": "peak learning rate"}
"""A setting, and what a model comes to by it: one word for both, where both differ."""


def confounded(study: StudyFacts, arm: str) -> tuple[str, ...]:
    """The settings of one arm; none of arms with the baseline's techniques, whose settings are what is compared.

    What a bracket moved is the best of each arm, as it was meant to be.
    """
    if not study.imported and len({frozenset(each.plugins) for each in study.arms}) == 1:
        return ()
    moved = study.bracket.moved if study.bracket else ()
    found = [item.setting for item in study.confounds if item.setting not in moved and _takes_credit(item, study, arm)]
    return tuple(dict.fromkeys(SAME[name] if SAME.get(name) in found else name for name in found))


def grouped(study: StudyFacts, arms: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
    """Arms by the settings that confound them, those left out that nothing does."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for arm in arms:
        if settings := confounded(study, arm):
            groups.setdefault(settings, []).append(arm)
    return groups


def in_headline(study: StudyFacts, comparisons: Sequence[Comparison]) -> str:
    """What follows the headline, begins with a space; nothing where no verdict would be credited to a technique."""
    groups = grouped(study, [c.arm for c in comparisons if c.verdict in JUDGED])
    told = [
        f"{listing(arms)} also {'differs' if len(arms) == 1 else 'differ'} in {listing(list(settings))}"
        for settings, arms in groups.items()
    ]
    knowing = [c.arm for c in comparisons if c.knows is not None]
    known = f" {listing(knowing)} {'knows' if len(knowing) == 1 else 'know'} the validation text." if knowing else ""
    return (f" Not by the technique alone: {'; '.join(told)}." if told else "") + known


def in_a_row(study: StudyFacts, c: Comparison) -> str:
    """`confounded by batch_tokens`, for a cell or a clause."""
    settings = confounded(study, c.arm) if c.verdict in JUDGED else ()
    told = [f"confounded by {listing(list(settings))}"] if settings else []
    return ", ".join([*told, *(["knows the validation text"] if c.knows is not None else [])])


def _takes_credit(item: Confound, study: StudyFacts, arm: str) -> bool:
    if item.why is not None:
        return item.why.get(arm) == "rest"
    return item.values.get(arm) != item.values.get(study.baseline)
