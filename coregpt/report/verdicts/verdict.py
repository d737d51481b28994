"""The verdict on one arm: fixed rules, tried in a fixed order, none of which can be argued with afterwards.

1. invalid: runs without an outcome, or seeds that change nothing.
2. pilot: declared one, and nothing else is said of any arm.
3. unstable: diverges more often than the baseline.
4. inconclusive: the arm's metric cannot be compared with the baseline's, or the design allows no test.
5. better or worse: adjusted p below alpha; in a screen only "screened", and nothing but inconclusive otherwise.
6. equivalent: shown to lie within the margin.
7. inconclusive.

A screen of a chain (`stage: screen`) has two words in place of 4 to 7: better is "candidate", all else "no sign".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Word
from coregpt.stats.design import Design, smallest_sign_flip_p
from coregpt.stats.power import EQUIVALENCE_LEVEL

FAILURE_LEVEL = 0.05


@dataclass(frozen=True)
class Stopped:
    """What holds for an arm that was decided early in place of the usual. `facts` are fields of its comparison."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    given_up: str = ""
    """Why it is followed no further though nothing was shown; empty if it is not given up."""
    no_ranks: str = ""
    """Why ranks decide nothing where runs diverged, if that has another reason than the ranks."""


USUAL = Stopped()


def decide(
    study: StudyFacts,
    design: Design,
    comparison: Comparison,
    frozen: list[str],
    direction: float,
    stopped: Stopped = USUAL,
) -> Comparison:
    """Fill in verdict, size and cause.

    `frozen` names arms whose seeds all gave the same number; `direction` is positive if the test favours the arm.
    """
    word, cause = _rule(study, design, comparison, frozen, direction, stopped)
    if study.stage == "screen" and word not in ("invalid", "unstable"):
        word, cause = _of_screen(word, cause)
    size = _size(study, comparison) if word in ("better", "worse") else ""
    return comparison.model_copy(update={"verdict": word, "cause": cause, "size": size})


def _rule(
    study: StudyFacts, design: Design, c: Comparison, frozen: list[str], direction: float, stopped: Stopped
) -> tuple[Word, str]:
    if c.missing_seeds:
        where = f"{_seed_list(c.missing_seeds)} of {c.arm} or {study.baseline}"
        return "invalid", f"no outcome for {where}; finish or repeat those runs"
    if frozen:
        same = f"all seeds of {listing(frozen)} ended at exactly the same value"
        return "invalid", f"{same}, so they are one observation: the seed does not reach the run"
    if study.pilot:
        return "pilot", ""
    if _unstable(c):
        planned = len(study.planned(c.arm)), len(study.planned(study.baseline))
        mine, other = (f"{failures} of {runs}" for failures, runs in zip(c.failures, planned, strict=True))
        return "unstable", f"{mine} runs diverged, against {other} for {study.baseline}"
    if c.arm in study.incomparable:
        return "inconclusive", study.incomparable[c.arm]
    if not design.can_test:
        return "inconclusive", design.reason
    if c.p_adjusted is None and any(c.failures) and stopped.no_ranks:
        return "inconclusive", stopped.no_ranks
    if c.p_adjusted is None:
        return "inconclusive", "too few complete arms are left to estimate the noise"
    if c.p_adjusted < study.level and direction:
        if c.noisy and (c.p_separate is None or c.p_separate >= study.level):
            return "inconclusive", (
                "this comparison is far noisier than the others, and a test that uses only its own noise disagrees"
            )
        if design.screens:
            return "screened", ""
        return ("better" if direction > 0 else "worse"), ""
    if design.screens:
        return "inconclusive", "the screen does not pass it on"
    if stopped.given_up:
        return "inconclusive", stopped.given_up
    if c.p_equivalence is not None and c.p_equivalence < EQUIVALENCE_LEVEL and not c.noisy:
        return "equivalent", ""
    return "inconclusive", _undecided(study, design, c, stopped)


def _of_screen(word: Word, cause: str) -> tuple[Word, str]:
    """What a study that only looks for candidates makes of a verdict."""
    if word == "better":
        return "candidate", ""
    return "no sign", {"worse": "it ended worse", "equivalent": "the difference is within the margin"}.get(word, cause)


def _unstable(c: Comparison) -> bool:
    mine, other = c.failures
    return mine > other and (mine >= 2 or (c.p_failures is not None and c.p_failures < FAILURE_LEVEL))


def _size(study: StudyFacts, c: Comparison) -> str:
    if c.test_interval is None:
        return ""
    low, high = c.test_interval
    if -study.margin < low and high < study.margin:
        return "below the margin"
    return "at least the margin" if low >= study.margin or high <= -study.margin else ""


def _undecided(study: StudyFacts, design: Design, c: Comparison, stopped: Stopped) -> str:
    if any(c.failures) and stopped.no_ranks:
        return stopped.no_ranks
    if any(c.failures):
        ranks = "with a diverged run only ranks can be compared"
        floor = smallest_sign_flip_p(design.n_seeds) * design.n_treatments
        if study.paired and floor > study.alpha:
            return f"{ranks}, and {plural(design.n_seeds, 'seed')} cannot reach alpha {study.alpha:g} that way"
        return f"{ranks}, and they do not differ clearly"
    return "the difference is neither clearly there nor clearly smaller than the margin"


def _seed_list(seeds: tuple[int, ...]) -> str:
    return ("seed " if len(seeds) == 1 else "seeds ") + listing([str(seed) for seed in seeds])
