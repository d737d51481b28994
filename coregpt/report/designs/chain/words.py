"""What the chain says beside a study's own verdict. A chain of one says nothing: alpha is then the study's own."""

from collections.abc import Sequence

from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.chain import ChainFacts, OtherStudy
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison
from coregpt.report.verdicts.confirmed import confirmed, speaks

MOST = 20
"""Other studies that a note names; more are counted."""
SCREEN_NOTE = (
    "This study is a screen: it looks for candidates and calls nothing better. Of ideas that do nothing, up to "
    "{share:.0%} come out as candidates; `coregpt confirm` tests one on fresh seeds."
)


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
    later = f" of {claims(chain)}" if claims(chain) > chain.k else ""
    plural_ = "s" if later else ""
    named = chain.chain.partition("/")[2]
    where = f"of chain {named} on this baseline" if named else "on this baseline"
    return f"{ordinal(chain.k)}{later} confirmation{plural_} {where}"


def claims(chain: ChainFacts) -> int:
    """That were ever made in the chain, on record or only told: by this study, or by another one before it."""
    return max(chain.k or 0, chain.confirmations + (chain.earlier.claims if chain.earlier else 0))


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
        found.append(SCREEN_NOTE.format(share=study.alpha / 2) + _behind(chain))
    if chain is None:
        return found
    if speaks(study) and not chain.source:
        found.append(
            f"{claims(chain)} studies of this baseline could call an arm better. The verdict above holds for "
            f"this study alone; the sentence on the chain counts all of them.{_unseen(chain)}"
        )
    elif speaks(study) and chain.earlier:
        found.append(f"{claims(chain)} studies of this baseline could call an arm better.{_unseen(chain)}")
    if chain.beside:
        others = [f"{name} ({plural(number, 'confirmation')})" for name, number in chain.beside.items()]
        found.append(
            f"This baseline has other chains of studies: {listing(others)}. What they tried is not counted in this one."
        )
    if chain.others:
        found.append(f"Other studies on this baseline and metric: {'; '.join(map(_other, chain.others[-MOST:]))}.")
        if len(chain.others) > MOST:
            found[-1] = found[-1][:-1] + f"; and {len(chain.others) - MOST} before them (coregpt ledger chains)."
    if chain.twice:
        places = listing([ordinal(k) for k in chain.twice])
        found.append(
            f"Two confirmations were registered as the {places} of this chain, on machines whose records were not "
            "merged before: its levels add up to more than they should."
        )
    return found


def _unseen(chain: ChainFacts) -> str:
    """` Two of them are on no record here: ...`, as the study says of what was tried before."""
    if chain.earlier is None:
        return ""
    are = "is" if chain.earlier.claims == 1 else "are"
    return f" {chain.earlier.claims} of them {are} in no ledger, and the study file says why: {chain.earlier.why}"


def _behind(chain: ChainFacts | None) -> str:
    """` That stands behind 2 claims ...`, of what confirms a screen's candidate."""
    if chain is None or chain.earlier is None:
        return ""
    told, are = chain.earlier, "is" if chain.earlier.claims == 1 else "are"
    behind = f"That stands behind {plural(told.claims, 'claim')} that {are} in no ledger"
    return f" {behind}; the study file says why: {told.why}"


def _other(other: OtherStudy) -> str:
    """`warmup (confirmation): slow inconclusive, slower worse`."""
    where = f", ledger {other.machine}" if other.machine else ""
    said = listing([f"{arm} {verdict}" for arm, verdict in other.verdicts.items()]) or "nothing reported yet"
    return f"{other.name} ({other.stage}{where}): {said}"


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
