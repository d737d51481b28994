"""Effects of techniques in a factorial study, as data."""

from typing import Literal

from coregpt.report.facts.base import Facts, Interval

EffectWord = Literal["", "better", "worse", "more than the sum", "less than the sum", "inconclusive"]


class Effect(Facts):
    """One main effect, interaction or simple effect (`given` says where) of a factorial study, as a gain.

    `p_adjusted` is Holm's, over the interactions or over the main effects; None for a simple effect.
    """

    name: str
    given: str = ""
    gain: float
    se: float
    df: float
    interval: Interval
    p: float
    p_adjusted: float | None
    verdict: EffectWord


class Effects(Facts):
    """Interactions, main effects, and simple effects of the techniques whose interaction was shown."""

    cause: str = ""
    """Why there are none, in plain words; empty otherwise."""
    interactions: tuple[Effect, ...] = ()
    main: tuple[Effect, ...] = ()
    simple: tuple[Effect, ...] = ()
