"""What the chain says beside a study's own verdict. A chain of one says nothing: alpha is then the study's own."""

from collections.abc import Sequence
from typing import Any

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.chain import ChainFacts
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison

SCREEN_NOTE = (
    "This study is a screen: it looks for candidates and calls nothing better. Of ideas that do nothing, up to "
    "{share:.0%} come out as candidates; `coregpt confirm` tests one on fresh seeds."
)


def confirmed(study: StudyFacts, c: Comparison) -> bool:
    """Whether the chain confirms that an arm is better: at its own level, and not if the study is exploratory."""
    level = study.chain.level if study.chain else None
    if level is None or c.verdict != "better" or c.p_adjusted is None or study.exploratory:
        return False
    return c.p_adjusted < level


def outcomes(study: StudyFacts, comparisons: Sequence[Comparison]) -> dict[str, dict[str, Any]]:
    """By arm what goes on record."""
    return {c.arm: {"verdict": c.verdict, "p": c.p_adjusted, "confirmed": confirmed(study, c)} for c in comparisons}


def speaks(study: StudyFacts) -> ChainFacts | None:
    """The chain, if it has something to say beside the study's own verdict."""
    chain = study.chain
    if chain is None or chain.k is None or (chain.confirmations < 2 and not chain.source):
        return None
    return chain


def sentence(study: StudyFacts, c: Comparison) -> str:
    """What follows the sentence on one arm: `In its chain: the 3rd confirmation on this baseline, tested at ...`."""
    chain = speaks(study)
    if chain is None:
        return ""
    word = "confirmed" if confirmed(study, c) else "not confirmed"
    frozen = f" at the settings of {chain.source}" if chain.source else ""
    return f" In its chain: the {place(chain)}, tested at {chain.level:.2g}{frozen}: {word}."


def place(chain: ChainFacts) -> str:
    """`3rd confirmation on this baseline`, with how many there are if others came later."""
    assert chain.k is not None
    later = f" of {chain.confirmations}" if chain.confirmations > chain.k else ""
    plural_ = "s" if later else ""
    named = chain.chain.partition("/")[2]
    where = f"of chain {named} on this baseline" if named else "on this baseline"
    return f"{ordinal(chain.k)}{later} confirmation{plural_} {where}"


def ordinal(k: int) -> str:
    """`1st`, `2nd`, `11th`."""
    ending = "th" if k % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(k % 10, "th")
    return f"{k}{ending}"


def headline(study: StudyFacts, comparisons: Sequence[Comparison]) -> str:
    """What follows the headline where an arm is better by the study's own test."""
    if speaks(study) is None:
        return ""
    better = [c for c in comparisons if c.verdict == "better"]
    sure = [c.arm for c in better if confirmed(study, c)]
    if not better:
        return ""
    if len(comparisons) == 1:
        return f" Its chain of studies {'confirms it' if sure else 'does not confirm it'}."
    return f" The chain of studies confirms {listing(sure) if sure else 'none of them'}."


def notes(study: StudyFacts) -> list[str]:
    """What a careful reader must know of the chain."""
    chain, found = study.chain, []
    if study.stage == "screen":
        found.append(SCREEN_NOTE.format(share=study.alpha / 2))
    if chain is None:
        return found
    if speaks(study) and not chain.source:
        found.append(
            f"{chain.confirmations} studies of this baseline could call an arm better. The verdict above holds for "
            "this study alone; the sentence on the chain counts all of them."
        )
    if chain.beside:
        others = [f"{name} ({plural(number, 'confirmation')})" for name, number in chain.beside.items()]
        found.append(
            f"This baseline has other chains of studies: {listing(others)}. What they tried is not counted in this one."
        )
    if chain.twice:
        places = listing([ordinal(k) for k in chain.twice])
        found.append(
            f"Two confirmations were registered as the {places} of this chain, on machines whose records were not "
            "merged before: its levels add up to more than they should."
        )
    return found


def method(study: StudyFacts) -> list[str]:
    """How the level was come by."""
    chain = study.chain
    if chain is None or chain.k is None or chain.level is None:
        return []
    text = (
        f"Chain {chain.chain}: studies that test ideas against one baseline and may call an arm better share alpha "
        f"{chain.alpha:g}. This is the {ordinal(chain.k)}, registered when {chain.confirmed} of the others were "
        f"confirmed; its level is {chain.level:.3g}, by LOND (Javanmard & Montanari 2015) with shares "
        "k^-1.6/zeta(1.6). The share of false claims among all that the chain confirms is then at most alpha on "
        "average; so is the chance of any false one while nothing true was found."
    )
    if chain.source:
        text += f" Settings are those of {chain.source}, and the claim holds at these; no earlier run had these seeds."
    return [text]
