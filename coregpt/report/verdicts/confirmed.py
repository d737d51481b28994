"""Whether a study's chain confirms its verdict, and whether it has anything to say."""

from collections.abc import Sequence
from typing import Any

from coregpt.report.facts.chain import ChainFacts
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison


def confirmed(study: StudyFacts, c: Comparison) -> bool:
    """Whether the chain confirms that an arm is better: at its own level, and not if the study is exploratory."""
    level = study.chain.level if study.chain else None
    if level is None or c.verdict != "better" or c.p_adjusted is None or study.exploratory:
        return False
    return c.p_adjusted < level


def outcomes(study: StudyFacts, comparisons: Sequence[Comparison]) -> dict[str, dict[str, Any]]:
    """By arm what goes on record."""
    standing = {"exploratory": True} if study.exploratory else {}
    return {
        c.arm: {"verdict": c.verdict, "p": c.p_adjusted, "confirmed": confirmed(study, c), **standing}
        for c in comparisons
    }


def speaks(study: StudyFacts) -> ChainFacts | None:
    """The chain, if it has something to say beside the study's own verdict."""
    chain = study.chain
    if chain is None or chain.k is None:
        return None
    return chain if chain.source or chain.k > 1 or chain.confirmations > 1 else None
