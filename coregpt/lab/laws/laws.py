"""The laws every technique obeys, checked on a tiny model: for the built-ins in tests, for anybody's plugin by
`coregpt plugins check NAME`.

Each law is a function of a `LawCase`. It raises LawError with what was expected and what was seen, or returns what it
measured and against which limit. Laws that take no time are tested in the plain model, under a window, document masks
and random numbers, and in bf16; those that take long once, with all of it around.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from coregpt.contract.errors import in_one_line
from coregpt.lab.guard.bound import Bound
from coregpt.lab.laws.building import (
    counts_agree,
    documented,
    every_parameter_in_one_group,
    leaves_global_randomness_alone,
    neutral_setting_does_nothing,
    slopes_are_derivatives,
    works_in_every_study,
)
from coregpt.lab.laws.fair import FAIR
from coregpt.lab.laws.law_case import MIXED, SHAPE, LawCase, LawError, Limit
from coregpt.lab.laws.loop import train_tiny, trained
from coregpt.lab.laws.ranks import STEPS, begin, compare_ranks, two_ranks_equal_one
from coregpt.lab.laws.seeing import evaluation_leaves_no_trace, keeps_to_masks, rows_do_not_meet, sees_no_future
from coregpt.lab.laws.training import loss_falls, one_graph, resumes_to_the_bit
from coregpt.lab.study.code.blame import told
from coregpt.lab.study.registry import Catalogue

__all__ = [
    "LAWS",
    "SHAPE",
    "LawCase",
    "LawError",
    "Limit",
    "check",
    "check_case",
    "compare_ranks",
    "train_tiny",
    "trained",
]

Law = Callable[[LawCase], str | None]
LAWS: tuple[Law, ...] = (
    documented,
    works_in_every_study,
    leaves_global_randomness_alone,
    *FAIR,
    every_parameter_in_one_group,
    counts_agree,
    slopes_are_derivatives,
    sees_no_future,
    rows_do_not_meet,
    keeps_to_masks,
    evaluation_leaves_no_trace,
    neutral_setting_does_nothing,
    loss_falls,
    resumes_to_the_bit,
    two_ranks_equal_one,
    one_graph,
)
SLOW: tuple[Law, ...] = (counts_agree, one_graph)
"""Left out of a fast check: compiling takes longer than all other laws together, and counting imports the compiler."""
NEED_THE_SAME_NUMBERS: tuple[Law, ...] = (evaluation_leaves_no_trace, resumes_to_the_bit, two_ranks_equal_one)
"""Compare two trainings, which is no use where these draw from a global generator."""


def fast_laws() -> tuple[Law, ...]:
    return tuple(law for law in LAWS if law not in SLOW)


def check(name: str, say: Callable[[str], None], files: Iterable[Path] = ()) -> bool:
    """Every law for one plugin by name; one line per law through `say`. True when all hold.

    `files` are plugin files that live in no package.
    """
    return check_case(LawCase(Catalogue(files), name), say)


def check_case(case: LawCase, say: Callable[[str], None], laws: Iterable[Law] | None = None) -> bool:
    """As `check`, for a plugin with given options or neighbours, or for some of the laws."""
    torch.set_num_threads(1)
    case.bound = case.bound or Bound.now()
    case.cls  # a misspelt or broken plugin is an error, not a broken law  # noqa: B018
    laws = list(LAWS if laws is None else laws)
    case.catalogue.instances(case.plugins())  # so are wrong options
    if two_ranks_equal_one in laws:
        case.ranks = begin([case.under(MIXED)], steps=STEPS)  # they train beside the other laws
    holds, skipped = True, set[Law]()
    for law in laws:
        if law in skipped:
            say(f"skip  {title(law)}: its numbers come from a global generator")
            continue
        try:
            measured = law(case)
        except Exception as broken:  # a plugin may fail in any way; the other laws are still worth knowing
            holds = False
            say(
                f"FAIL  {title(law)}: {broken if isinstance(broken, LawError) else told(broken) or in_one_line(broken)}"
            )
            if isinstance(broken, LawError) and broken.stop:
                say("No other law was tested.")
                break
            if isinstance(broken, LawError) and broken.broken:
                case.broken |= broken.broken
                restart(case)
            if law is leaves_global_randomness_alone:
                skipped = set(NEED_THE_SAME_NUMBERS)
        else:
            word = "note" if isinstance(measured, Limit) else "ok  "
            say(f"{word}  {title(law)}{f': {measured}' if measured else ''}")
    if case.ranks is not None:
        case.ranks.stop()
        case.ranks = None
    return holds


def restart(case: LawCase) -> None:
    """Ranks that train where the plugin does not work would only say so again."""
    if case.ranks is not None:
        case.ranks.stop()
        case.ranks = begin([case.under(MIXED)], steps=STEPS)


def title(law: Law) -> str:
    return law.__name__.replace("_", " ")
