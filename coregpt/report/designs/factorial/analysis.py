"""Studies made from techniques: main effects and interactions of a factorial, and how to read the other modes.

Effects are gains: positive lowers the metric. An interaction is half the difference between a technique's gain with
the other one and its gain without it: positive means that together they are more than their sum.
"""

import numpy as np

from coregpt.report.drawing.numbers import listing, p_phrase, plural, signed, span
from coregpt.report.facts.factorial import Effect, Effects, EffectWord
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.verdicts.compare import Outcomes
from coregpt.stats.contrasts import Contrast, t_interval
from coregpt.stats.design import MIN_SEEDS
from coregpt.stats.factorial import Factorial, analyse

_WORDS: dict[tuple[bool, bool], EffectWord] = {
    (False, True): "better",
    (False, False): "worse",
    (True, True): "more than the sum",
    (True, False): "less than the sum",
}
"""By whether it is an interaction, and whether it is a gain."""

_READING = {
    "leave_one_out": "Every arm leaves one technique out of all of them: a worse arm means that its technique helps "
    "in the company of the others, which is not what it is worth alone.",
    "add_one": "Every arm adds one technique to the bare base: what it is worth alone, which is not what it is worth "
    "in the company of the others.",
}


def factorial_effects(study: StudyFacts, outcomes: Outcomes) -> Effects | None:
    """The effects of a factorial study, None for any other. Without a complete grid there are none, and a reason."""
    if study.mode != "factorial":
        return None
    values = np.array([outcomes.values[name] for name in _standard_order(study)]).T
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        return Effects(cause=f"{plural(bad, 'run')} did not finish, and effects need every arm with every seed")
    if len(values) < MIN_SEEDS:
        return Effects(cause=f"{plural(len(values), 'seed')} cannot show how much seeds alone move an effect")
    return _effects(analyse(-values, study.techniques, study.alpha), study.alpha)


def mode_notes(study: StudyFacts, effects: Effects | None) -> list[str]:
    """What the mode of a study means for its reader; interactions first, for they say what main effects are worth."""
    if effects is None:
        return [_READING[study.mode]] if study.mode in _READING else []
    if effects.cause:
        return [f"No main effects or interactions: {effects.cause}."]
    prefix = "Exploratory: " if study.exploratory else ""
    found = [e for e in effects.interactions if e.verdict != "inconclusive"]
    if found:
        first = f"Interactions first: {listing([_phrase(e) for e in found])}; for the techniques in them read the"
        first += " simple effects, not the main effects."
    else:
        smallest = min(e.p_adjusted for e in effects.interactions if e.p_adjusted is not None)
        first = f"Interactions first: none shown among {len(effects.interactions)} (smallest {p_phrase(smallest)})."
    main = f"Main effects, each over all runs: {listing([_phrase(e) for e in effects.main])}."
    families = (
        f"Interactions and main effects are two families with alpha {study.alpha:g} each (Holm); the arms against "
        f"{study.baseline} are a third."
    )
    return [prefix + first, prefix + main, families]


def _standard_order(study: StudyFacts) -> list[str]:
    """Arm of every cell: bit j of its index says whether technique j is on. Raises ValueError if one is not there."""
    arms = {frozenset(study.techniques).intersection(arm.plugins): arm.name for arm in study.arms}
    cells = range(2 ** len(study.techniques))
    wanted = [frozenset(t for j, t in enumerate(study.techniques) if i >> j & 1) for i in cells]
    absent = [sorted(techniques) for techniques in wanted if techniques not in arms]
    if absent or len(study.arms) != len(wanted):
        raise ValueError(f"a factorial of {listing(list(study.techniques))} needs each subset once as an arm")
    return [arms[techniques] for techniques in wanted]


def _effects(found: Factorial, alpha: float) -> Effects:
    return Effects(
        interactions=tuple(
            _effect(" x ".join(e.factors), "", e.estimate, e.p_adjusted, alpha, together=True)
            for e in found.interactions
        ),
        main=tuple(_effect(e.factors[0], "", e.estimate, e.p_adjusted, alpha) for e in found.main),
        simple=tuple(
            _effect(e.factor, f"{'with' if e.on else 'without'} {e.given}", e.estimate, None, alpha)
            for e in found.simple
        ),
    )


def _effect(name: str, given: str, c: Contrast, adjusted: float | None, alpha: float, together: bool = False) -> Effect:
    """Simple effects explain an interaction that was shown; they are not tested again and get no verdict."""
    verdict: EffectWord = ""
    if adjusted is not None:
        verdict = "inconclusive" if adjusted >= alpha else _WORDS[together, c.gain > 0]
    return Effect(
        name=name,
        given=given,
        gain=c.gain,
        se=c.se,
        df=c.df,
        interval=t_interval(c, 0.95),
        p=c.p,
        p_adjusted=adjusted,
        verdict=verdict,
    )


def _phrase(effect: Effect) -> str:
    return f"{effect.name} {signed(effect.gain, 4)} [{span(effect.interval, 4)}], {p_phrase(effect.p_adjusted)}"
