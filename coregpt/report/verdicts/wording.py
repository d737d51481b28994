"""Plain sentences: what a reader who skips every table should take away. Nothing measured by a clock is said here."""

from collections.abc import Mapping, Sequence

from coregpt.report.drawing.numbers import decimals, fixed, listing, p_phrase, plural, si, span
from coregpt.report.drawing.units import with_unit
from coregpt.report.drawing.words import LITTLE, RATED, rated
from coregpt.report.facts.inputs import Confound, StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.verdicts.confounded import grouped
from coregpt.report.verdicts.next_step import next_step
from coregpt.stats.design import Design, smallest_sign_flip_p

MOST_SEEDS = 12
"""That a note lists."""


def sentence(study: StudyFacts, c: Comparison) -> str:
    """The verdict on one arm in one or two sentences."""
    return _begun(study, _SENTENCES[c.verdict](study, c), rated(study, c))


def headline(study: StudyFacts, comparisons: tuple[Comparison, ...]) -> str:
    """One line for the whole study; with a single arm, a short form of its verdict."""
    if len(comparisons) == 1:
        c = comparisons[0]
        said = _SHORT[c.verdict].format(arm=c.arm, baseline=study.baseline)
        return _begun(study, f"{said[:-1]}, {LITTLE}." if c.little else said, rated(study, c))
    parts = []
    for verdict, phrase in _COUNTED.items():
        for little in (False, True):
            arms = [c.arm for c in comparisons if c.verdict == verdict and c.little == little]
            if arms:
                text = phrase.format(arms=listing(arms), baseline=study.baseline)
                parts.append(text.replace(":", f", {LITTLE}:", 1) if little else text)
    text = "; ".join(parts) + "."
    return _begun(study, text[0].upper() + text[1:], _all_rated(study, comparisons))


def _begun(study: StudyFacts, text: str, at: str) -> str:
    """A sentence that says first what it depends on: `At one shared learning rate, ngpt is worse than gpt.`"""
    text = f"{at}, {_inside(study, text)}" if at else text
    prefix = "Exploratory: " if study.exploratory else ""
    text = prefix + _inside(study, text) if prefix else text
    return text if study.exploratory or not at else text[0].upper() + text[1:]


def _inside(study: StudyFacts, text: str) -> str:
    """Without the capital that a sentence begins with; the name of an arm keeps its own."""
    named = any(text.startswith(arm.name) for arm in study.arms)
    return text if named else text[0].lower() + text[1:]


def _all_rated(study: StudyFacts, comparisons: Sequence[Comparison]) -> str:
    """For all arms together; the arms it holds for are named unless it holds for each."""
    found: dict[str, list[str]] = {}
    for c in comparisons:
        if at := rated(study, c):
            found.setdefault(at, []).append(c.arm)
    judged = [c.arm for c in comparisons if c.verdict in RATED]
    if list(found.values()) == [judged]:
        return next(iter(found))
    return ", ".join(f"{at} ({listing(arms)})" for at, arms in found.items())


def notes(
    study: StudyFacts, design: Design, comparisons: tuple[Comparison, ...], alike: Sequence[tuple[str, ...]] = ()
) -> tuple[str, ...]:
    """What a careful reader must know besides the verdicts; how far they reach comes first.

    `alike` are groups of arms that gave equal numbers.
    """
    found = [reach(study)]
    if study.exploratory:
        found.append(f"This study is exploratory ({study.exploratory}): its verdicts need confirmation on fresh seeds.")
    if study.screen is not None:
        found.append(
            f"This study is a screen: of the arms it passes on, no more than {study.screen:.0%} are expected to have "
            "no effect. None of them is called better or worse before a study on fresh seeds confirms it."
        )
    if study.imported:  # how the runs were chosen and judged matters more than what each arm did
        found.extend(study.environment.warnings)
    if study.paired and design.can_test and smallest_sign_flip_p(design.n_seeds) > study.alpha:
        found.append(
            f"The exact sign-flip test cannot reach alpha {study.alpha:g} with {plural(design.n_seeds, 'seed')}; "
            f"its smallest possible p is {smallest_sign_flip_p(design.n_seeds):.3g}."
        )
    if not study.paired and design.n_seeds < 5:
        found.append("Unpaired tests with fewer than 5 seeds err too often when one arm is much noisier.")
    found += [note for note in (_by_hand(study), _others(study)) if note]
    found += [_alike(study, group) for group in alike]
    if study.inert:
        has = "has" if len(study.inert) == 1 else "have"
        found.append(
            f"Declared inert: {listing(list(study.inert))} {has} a technique that was known to do nothing there."
        )
    for c in comparisons:
        found.extend(_arm_notes(study, c))
    found += [note for note in (_credit(study),) if note]
    found += study.departures or ()
    if not study.imported:
        found.extend(study.environment.warnings)
    return tuple(found)


def _credit(study: StudyFacts) -> str:
    """What a verdict is about where arms differ in settings alone, or in more than a technique and what belongs to it.

    What a bracket moved is the best of each arm, as it was meant to be, and takes no credit away.
    """
    moved = study.bracket.moved if study.bracket else ()
    if not study.imported and len({frozenset(arm.plugins) for arm in study.arms}) == 1:
        compared = [item.setting for item in study.confounds if item.setting not in moved and _is_compared(item)]
        alike = "are one program" if study.program else "train with the same techniques"
        told = f"The arms {alike} and differ in {listing(compared)}: the verdict is about that."
        return told if compared else ""
    groups = grouped(study, study.treatments)
    if not groups:
        return ""
    if list(groups.values()) == [list(study.treatments)]:
        told = f"Arms also differ in {listing(list(next(iter(groups))))}"
    else:
        each = [f"{listing(arms)} in {listing(list(settings))}" for settings, arms in groups.items()]
        told = f"Arms also differ from {study.baseline}: {'; '.join(each)}"
    alone = "the verdict" if len(study.treatments) == 1 else "their verdicts"
    return f"{told}; {alone} cannot be credited to the technique alone."


def _is_compared(item: Confound) -> bool:
    """Whether it is what a study of settings alone compares."""
    return item.confounds or "technique" in (item.why or {}).values()


def reach(study: StudyFacts) -> str:
    """The size and budget the verdicts hold for."""
    arm = next(arm for arm in study.arms if arm.name == study.baseline)
    if arm.parameters is None or arm.tokens is None:
        steps = {each.steps for each in study.arms}
        after = plural(arm.steps, "step") if len(steps) == 1 else f"{min(steps):,} to {max(steps):,} steps"
        return (
            f"Measured after {after} of a model whose size and number of training tokens are "
            "unknown here; other models and lengths may turn out differently."
        )
    return (
        f"Measured at {si(arm.parameters)} parameters after {si(arm.tokens)} tokens ({plural(arm.steps, 'step')}); "
        "larger models and longer runs may turn out differently."
    )


def _by_hand(study: StudyFacts) -> str:
    """Seeds that are not the first ones, which everybody has, unless registration found them or logs had them."""
    found = isinstance(study.declaration.get("seeds"), Mapping) or bool(study.chain and study.chain.source)
    if study.imported or found or study.seeds == tuple(range(len(study.seeds))):
        return ""
    more = len(study.seeds) - MOST_SEEDS
    seeds = [*map(str, study.seeds[:MOST_SEEDS]), *([f"{more} more"] if more > 0 else [])]
    return f"Its seeds were listed by hand ({listing(seeds)}); they are not the first ones, which every study has."


def _others(study: StudyFacts) -> str:
    if not study.other_runs:
        return ""
    number = plural(len(study.other_runs), "further run")
    return f"The ledger has {number} of this study that the analysis leaves out; every one is listed with its result."


def how_many(study: StudyFacts) -> str:
    """'6 seeds', or the number of runs where arms do not share their seeds."""
    if any(arm.seeds for arm in study.arms):
        return plural(sum(len(study.planned(arm.name)) for arm in study.arms), "run")
    return plural(len(study.seeds), "seed")


def _alike(study: StudyFacts, group: tuple[str, ...]) -> str:
    if study.baseline in group:
        arms = listing([arm for arm in group if arm != study.baseline])
        return f"{arms} gave exactly the numbers of {study.baseline} for every seed: is the technique active?"
    return (
        f"{listing(list(group))} gave exactly equal numbers for every seed: what they differ in did nothing, and they "
        "are one observation."
    )


def _arm_notes(study: StudyFacts, c: Comparison) -> list[str]:
    found = []
    if c.noisy:
        found.append(
            f"The comparison of {c.arm} is far noisier than the others; it is only called better or worse "
            f"if its separate test agrees ({p_phrase(c.p_separate)})."
        )
    if any(c.failures) and c.verdict != "invalid":
        found.append(
            f"Diverged runs: {c.failures[0]} of {c.arm}, {c.failures[1]} of {study.baseline}. They count as the worst "
            "outcome, and averages of the remaining runs are conditional on finishing."
        )
    return found


def _amount(study: StudyFacts, c: Comparison) -> str:
    if c.gain is None:
        return "no difference can be estimated"
    digits = decimals(study, (c,))
    text = with_unit(fixed(abs(c.gain), digits), study.unit)
    return text + (f" ({c.gain_condition})" if c.gain_condition else "")


def _evidence(study: StudyFacts, c: Comparison) -> str:
    digits = decimals(study, (c,))
    corrected = " after correction for all arms" if len(study.treatments) > 1 else ""
    if study.paired:
        pairs = plural(c.pairs, "paired seed")
    else:
        pairs = f"{len(study.planned(c.arm))} against {plural(len(study.planned(study.baseline)), 'run')}"
    around = f"95% interval {_away(c, digits)}, " if c.interval else ""
    return f"{around}{p_phrase(c.p_adjusted)}{corrected}, {pairs}"


def _away(c: Comparison, digits: int) -> str:
    """The interval in the direction of the difference, so that 'higher by' has positive ends."""
    if c.interval is None or c.gain is None:
        return ""
    low, high = c.interval if c.gain >= 0 else (-c.interval[1], -c.interval[0])
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def _better(study: StudyFacts, c: Comparison) -> str:
    return _by_rank(study, c, "beats") if any(c.failures) else _moved(study, c, "lowers")


def _worse(study: StudyFacts, c: Comparison) -> str:
    return _by_rank(study, c, "loses to") if any(c.failures) else _moved(study, c, "raises")


def _moved(study: StudyFacts, c: Comparison, verb: str) -> str:
    tail = {
        "below the margin": f" That is real, and smaller than the {study.margin:g} that {_declared(study)} to matter.",
        "at least the margin": f" That is more than the {study.margin:g} that {_declared(study)} to matter.",
        "": "",
    }[c.size]
    amount, evidence = _amount(study, c), _evidence(study, c)
    return f"{c.arm} {verb} {study.metric} against {study.baseline} by {amount} ({evidence}).{tail}"


def _declared(study: StudyFacts) -> str:
    return "was set at import" if study.imported else "was declared"


def _by_rank(study: StudyFacts, c: Comparison, verb: str) -> str:
    return (
        f"{c.arm} {verb} {study.baseline} when diverged runs count as the worst outcome ({p_phrase(c.p_adjusted)}); "
        f"diverged: {c.failures[0]} of {c.arm}, {c.failures[1]} of {study.baseline}."
    )


def _equivalent(study: StudyFacts, c: Comparison) -> str:
    digits = decimals(study, (c,))
    return (
        f"{c.arm} and {study.baseline} differ by less than the {with_unit(f'{study.margin:g}', study.unit)} that "
        f"{_declared(study)} to matter (gain {span(c.interval90, digits)}, 90% interval; "
        f"equivalence {p_phrase(c.p_equivalence)})."
    )


def _inconclusive(study: StudyFacts, c: Comparison) -> str:
    digits = decimals(study, (c,))
    seen = ""
    if c.gain is not None and c.gain_condition == "":
        seen = f" {c.arm} ended {_amount(study, c)} {'lower' if c.gain >= 0 else 'higher'}"
        seen += f" (95% gain interval {span(c.interval, digits)})." if c.interval else " on average."
        seen += _of_one_arm(study, c)
    return f"No verdict on {c.arm}: {c.cause}.{seen}{next_step(study, c)}"


def _of_one_arm(study: StudyFacts, c: Comparison) -> str:
    """Why an interval that leaves out zero is no verdict: it is of one arm at 95%, and the test is stricter."""
    if c.interval is None or c.p_adjusted is None or c.interval[0] <= 0 <= c.interval[1]:
        return ""
    if c.p_adjusted < study.alpha:  # something else left it open, as `cause` says
        return ""
    several = len(study.treatments) > 1
    whose, corrected = (" of this arm alone", " after correction for all arms") if several else ("", "")
    return (
        f" The interval{whose} leaves out zero, but what decides is {p_phrase(c.p_adjusted)}{corrected}, "
        f"which is not below {study.alpha:.3g}."
    )


def _unstable(study: StudyFacts, c: Comparison) -> str:
    text = f"{c.arm} is unstable: {c.cause}."
    if c.gain is None:
        return text
    side = "lower" if c.gain >= 0 else "higher"
    amount = f"{with_unit(fixed(abs(c.gain), decimals(study, (c,))), study.unit)} {side}"
    return (
        f"{text} Where both finished it ended {amount}, which is conditional on finishing and no evidence of quality."
    )


def _screened(study: StudyFacts, c: Comparison) -> str:
    side = "lower" if (c.gain or 0.0) >= 0 else "higher"
    return (
        f"{c.arm} is passed on: it ended {_amount(study, c)} {side} than {study.baseline} ({_evidence(study, c)}). "
        "Confirm it on fresh seeds."
    )


def _candidate(study: StudyFacts, c: Comparison) -> str:
    return (
        f"{c.arm} is a candidate: it ended {_amount(study, c)} lower than {study.baseline} ({_evidence(study, c)}). "
        f"That is no claim that it is better: confirm it on fresh seeds (coregpt confirm)."
    )


def _no_sign(study: StudyFacts, c: Comparison) -> str:
    around = f" (95% gain interval {span(c.interval, decimals(study, (c,)))})" if c.interval else ""
    return f"No sign that {c.arm} is better{around}: {c.cause}."


def _pilot(study: StudyFacts, c: Comparison) -> str:
    if c.gain is None:
        return f"Pilot, without a verdict on {c.arm}: nothing to compare yet."
    side = "lower" if c.gain >= 0 else "higher"
    pairs = plural(c.pairs, "paired seed" if study.paired else "run")
    return (
        f"Pilot, without a verdict on {c.arm}: it ended {_amount(study, c)} {side} than {study.baseline} on average "
        f"({pairs}).{next_step(study, c)}"
    )


def _invalid(study: StudyFacts, c: Comparison) -> str:
    return f"No valid comparison for {c.arm}: {c.cause}."


_SENTENCES = {
    "better": _better,
    "worse": _worse,
    "equivalent": _equivalent,
    "screened": _screened,
    "candidate": _candidate,
    "no sign": _no_sign,
    "inconclusive": _inconclusive,
    "unstable": _unstable,
    "invalid": _invalid,
    "pilot": _pilot,
}
_SHORT = {
    "better": "{arm} is better than {baseline}.",
    "worse": "{arm} is worse than {baseline}.",
    "equivalent": "{arm} and {baseline} make no difference that matters.",
    "screened": "{arm} is passed on for confirmation on fresh seeds.",
    "candidate": "{arm} is a candidate: to be confirmed on fresh seeds.",
    "no sign": "No sign that {arm} is better than {baseline}.",
    "inconclusive": "Not decided yet: {arm} against {baseline}.",
    "unstable": "{arm} is unstable.",
    "invalid": "{arm} cannot be judged: the study is incomplete.",
    "pilot": "Pilot, without a verdict: {arm} against {baseline}.",
}
_COUNTED = {
    "better": "better than {baseline}: {arms}",
    "worse": "worse than {baseline}: {arms}",
    "equivalent": "no difference that matters: {arms}",
    "screened": "passed on for confirmation on fresh seeds: {arms}",
    "candidate": "candidates, to be confirmed on fresh seeds: {arms}",
    "no sign": "no sign of being better: {arms}",
    "unstable": "unstable: {arms}",
    "inconclusive": "not decided: {arms}",
    "invalid": "cannot be judged: {arms}",
    "pilot": "pilot, without a verdict: {arms}",
}
