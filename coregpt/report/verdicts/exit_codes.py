"""The one table of exit codes: every command ends with one of these, and docs/agents.md prints it.

With `--exit-verdict` a command that ends well says the verdict by its code. Of several arms that differ, the first of
broken, worse, undecided, equivalent and better that any arm has: a code is never better news than any of its arms.
"""

from collections.abc import Iterable
from typing import Literal

DONE = 0
FAILED = 1
BAD_INPUT = 2
BETTER, WORSE, EQUIVALENT, UNDECIDED, BROKEN = 10, 11, 12, 13, 14
CANDIDATE = 15
INTERRUPTED = 130
READER_GONE = 141

MEANINGS = {
    DONE: "done, whatever the verdict; `verify`: agrees",
    FAILED: "a run failed, a law is broken, the disk is full; `verify`: disagrees",
    BAD_INPUT: "wrong input: an option, a file, a study, a broken ledger, a folder that is somebody else's; nothing "
    "was trained",
    BETTER: "every arm is better than the baseline; `judge`: confirmed",
    WORSE: "an arm is worse",
    EQUIVALENT: "the difference lies within the margin",
    UNDECIDED: "inconclusive, a pilot, a screen, exploratory, stopped by its budget, arms that no trial "
    "could tune, or better by its own test and not confirmed by its chain; `verify`: could not be made; "
    "`judge`: no sign, not confirmed, out of budget",
    BROKEN: "no verdict can be trusted: invalid or unstable runs; `verify --exit-verdict`: disagrees; `judge`: broken",
    CANDIDATE: "`judge`: a candidate, to be confirmed on fresh seeds",
    INTERRUPTED: "interrupted; the same command goes on",
    READER_GONE: "whoever read the output has gone",
}
"""What a shell, or a program, may take from each."""

OF_A_WORD = {
    "better": BETTER,
    "worse": WORSE,
    "equivalent": EQUIVALENT,
    "unstable": BROKEN,
    "invalid": BROKEN,
}
"""By the verdict on one arm; any other word decides nothing."""
WORST_FIRST = (BROKEN, WORSE, UNDECIDED, EQUIVALENT, BETTER)
WORDS: dict[int, Literal["better", "worse", "equivalent", "undecided", "broken"]] = {
    BETTER: "better",
    WORSE: "worse",
    EQUIVALENT: "equivalent",
    UNDECIDED: "undecided",
    BROKEN: "broken",
}


def code_of(words: Iterable[str]) -> int:
    """Of all arms of a study, by the verdict on each."""
    found = {OF_A_WORD.get(word, UNDECIDED) for word in words}
    return next((code for code in WORST_FIRST if code in found), UNDECIDED)


def table() -> str:
    """As Markdown."""
    rows = [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])
