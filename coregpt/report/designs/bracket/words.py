"""What must be said of a bracket: why an arm is not tuned, where a cliff is, whether arms were treated alike."""

import math

from coregpt.report.drawing.numbers import decimals, fixed, listing, plural
from coregpt.report.facts.bracket import ArmBracket, Bracketed
from coregpt.report.facts.model import Report
from coregpt.report.facts.tuning import shown

METHOD = (
    "Tuning: the variance of a gain is what its seeds leave open plus 8 (u² of the arm + u² of the baseline), with "
    "degrees of freedom unchanged. u is what an arm is expected to lose by running beside its optimum: half the "
    "curvature of its curve times the variance of the minimum, at most one standard error of its mean tuning run."
)
NO_RANKS = "a run diverged, and ranks, all that is left to compare, cannot allow for how surely settings are known"


def untuned(found: Bracketed, baseline: str) -> dict[str, str]:
    """By arm, why its comparison says nothing about the technique; with an untuned baseline that is every arm."""
    why = {each.arm: f"{each.arm} is not tuned: {each.why_not}" for each in found.arms if each.why_not}
    others = [each.arm for each in found.arms if each.arm != baseline]
    if baseline in why:
        return dict.fromkeys(others, why[baseline])
    return {arm: why[arm] for arm in others if arm in why}


def bracket_notes(found: Bracketed) -> list[str]:
    """First that arms ran at settings of their own, then doubts that a reader must know of."""
    values = listing([f"{rounded(each.value)} for {each.arm}" for each in found.arms])
    source = found.source
    told = f"taken from the bracket of {source.path}" if source else "found by a bracket before the test"
    notes = [f"Each arm ran at its own {found.setting}, {told}: {values}."]
    notes += [f"The bracket was made {listing(list(source.remarks))}."] if source and source.remarks else []
    for each in found.arms:
        notes += _doubts(found, each)
    tried = [len(each.points) for each in found.arms]
    if len(set(tried)) > 1:
        counts = listing([f"{count} for {each.arm}" for count, each in zip(tried, found.arms, strict=True)])
        notes.append(f"Arms tried different numbers of values: {counts}. Each goes on until its best lies inside.")
    planned = {each.arm: len(each.points) * len(each.seeds) for each in found.arms}
    again = [f"{each.started} for {each.arm}" for each in found.arms if each.started > planned[each.arm]]
    if again:
        counts = listing(again)
        notes.append(f"More runs were started for the bracket than it shows, counting all declarations: {counts}.")
    return notes


def _doubts(found: Bracketed, each: ArmBracket) -> list[str]:
    if each.why_not:
        return [f"{each.arm} is not tuned: {each.why_not}. Nothing is credited to the technique."]
    notes = []
    if each.kind == "best point":
        flat = f"{each.arm}: the curve through its values has no minimum"
        notes.append(f"{flat}, so the best value tried was taken, with the largest allowance there is.")
    if each.cliff is not None:
        fell = next(point for point in each.points if point.x == each.cliff)
        octaves = f"{each.cliff - (each.optimum or 0):.2g}"
        above = f"{octaves} {'octave' if octaves == '1' else 'octaves'} above the value of the test"
        fall = f"{each.arm}: runs diverged at {found.setting} {rounded(fell.value)}, {above}"
        notes.append(f"{fall}: seeds of the test may fall off the same cliff, and one that does leaves it undecided.")
    return notes


def words(found: Bracketed, metric: str) -> str:
    """What was done, in short."""
    seeds = sorted({seed for each in found.arms for seed in each.seeds})
    most = max(found.arms, key=lambda each: len(each.seeds))
    fewest = min(len(each.seeds) for each in found.arms)
    more = f" ({most.arm}, which is in every comparison, {len(most.seeds)})" if len(most.seeds) > fewest else ""
    coupled = " A step's weight decay is rate times decay, so it moved with the rate." if _moves_decay(found) else ""
    return (
        f"Before the test every arm was trained at octave steps of {found.setting}, on {plural(fewest, 'seed')}{more} "
        f"that the test does not have ({', '.join(map(str, seeds))}), then half an octave beside its best value. A "
        f"curve through the mean {found.metric(metric)} of the values within an octave of the best gave the value of "
        f"the test, {_held(found)}.{coupled}"
    )


def _held(found: Bracketed) -> str:
    """Since when the values are fixed."""
    if found.source is None:
        return "which the ledger holds from before the test's first run"
    return f"and this study took it from {found.source.path} (sha256 {found.source.sha256[:12]}), as it had declared"


def _moves_decay(found: Bracketed) -> bool:
    return found.setting == "optim.lr"


def uncertainty(report: Report) -> str:
    """How much of each standard error comes from the bracket; empty where there is none to speak of."""
    digits = max(4, decimals(report.study, report.comparisons))
    parts = [
        f"{fixed(math.sqrt(c.allowance), digits)} of {fixed(c.se, digits)} for {c.arm}"
        for c in report.comparisons
        if c.allowance
    ]
    if not parts:
        return ""
    told = "it is inside intervals and p-values, and more test seeds do not shrink it"
    return f"Uncertainty from tuning: {listing(parts)} (standard error of the gain); {told}."


def remark(found: Bracketed) -> str:
    """What follows the sentence on each arm."""
    return f" Each arm ran at its own bracketed {found.setting}."


def rounded(value: float) -> str:
    """A value that was found, to read and not to run with."""
    return shown(float(f"{value:.3g}"))
