"""What must be said of a bracket: why an arm is not tuned, where a cliff is, whether arms were treated alike."""

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.bracket import Bracketed
from coregpt.report.facts.tuning import shown

NO_RANKS = "a run diverged, and ranks, all that is left to compare, cannot allow for how surely settings are known"


def untuned(found: Bracketed, baseline: str) -> dict[str, str]:
    """By arm, why its comparison says nothing about the technique; with an untuned baseline that is every arm."""
    why = {each.arm: f"{each.arm} is not tuned: {each.why_not}" for each in found.arms if each.why_not}
    others = [each.arm for each in found.arms if each.arm != baseline]
    if baseline in why:
        return dict.fromkeys(others, why[baseline])
    return {arm: why[arm] for arm in others if arm in why}


def bracket_notes(found: Bracketed) -> list[str]:
    """Doubts that a reader must know of."""
    notes = []
    for each in found.arms:
        if each.why_not:
            notes.append(f"{each.arm} is not tuned: {each.why_not}. Nothing is credited to the technique.")
        elif each.cliff is not None:
            fell = next(point for point in each.points if point.x == each.cliff)
            above = f"{each.cliff - (each.optimum or 0):.2g} octaves above the value of the test"
            fall = f"{each.arm}: runs diverged at {found.setting} {shown(fell.value)}, {above}"
            notes.append(f"{fall}: seeds of the test may fall off the same cliff.")
    tried = {each.arm: len(each.points) * len(each.seeds) for each in found.arms}
    again = [f"{each.started} for {each.arm}" for each in found.arms if each.started > tried[each.arm]]
    if again:
        counts = listing(again)
        notes.append(f"More runs were started for the bracket than it shows, counting all declarations: {counts}.")
    return notes


def words(found: Bracketed, metric: str) -> str:
    """What was done, in short."""
    seeds = sorted({seed for each in found.arms for seed in each.seeds})
    most = max(found.arms, key=lambda each: len(each.seeds))
    fewest = min(len(each.seeds) for each in found.arms)
    more = f" ({most.arm}, which is in every comparison, {len(most.seeds)})" if len(most.seeds) > fewest else ""
    return (
        f"Before the test every arm was trained at octave steps of {found.setting}, on {plural(fewest, 'seed')}{more} "
        f"that the test does not have ({', '.join(map(str, seeds))}), then half an octave beside its best value. A "
        f"curve through the mean {metric} of the values within an octave of the best gave the value of the test, which "
        "the ledger holds from before the test's first run."
    )
