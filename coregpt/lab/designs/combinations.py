"""The one table of what goes with what: `coregpt plan --combinations` prints it, and docs/studies.md has it.

A design gives the names of what a file uses (`Design.names`); each row below says which two of them exclude each
other, at which of the two a person is told, and why. What stands in no row may be combined.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from coregpt.lab.study.problems import Problem
from coregpt.lab.study.yamlfile import Key

FACTORIAL, FORK = "mode: factorial", "mode: fork"
LEAVE_ONE_OUT, ADD_ONE = "mode: leave_one_out", "mode: add_one"
SECONDS = "match: seconds"
STAGE_SCREEN, GIVE_UP = "stage: screen", "test.give_up"
COMMAND = "command"
EACH_RUN = "budget.seconds_per_run"
EVALUATE = "evaluate"
ENDS_EARLY = ("test.looks", "test.anytime", "test.abort")
"""Designs that give up arms before their end."""
NAMES = (
    *(LEAVE_ONE_OUT, ADD_ONE, FACTORIAL, FORK),
    *("match", SECONDS, "sizes", "tuning", "bracket", "tuned"),
    *(STAGE_SCREEN, "confirms"),
    *ENDS_EARLY,
    GIVE_UP,
    *("test.target", "test.yardstick", "test.screen", "test.history", "test.metric"),
    EACH_RUN,
    EVALUATE,
    COMMAND,
)


@dataclass(frozen=True)
class Clash:
    """`at` and `other` exclude each other; `why` says so to the author of a file that has both, who is told at `at`."""

    at: str
    other: str
    why: str

    def told(self) -> str:
        """`why`, with the last words of both names, or all of the other."""
        return self.why.format(at=_plain(self.at), other=_plain(self.other), full=self.other)


WHOLE_RUNS = "whether a run took too long is known at its end, and '{other}' decides before; remove one of them"
TWO_WAYS = "'{other}' and '{at}' are two ways to spend less; choose one"
EVERY_RUN = "'mode: factorial' asks for effects and interactions, which need every run; remove it"
TO_ITS_END = "'{other}' ends arms early, and '{at}' needs every run to its end; remove one of them"
NOT_BOTH = "'{other}' and '{at}' cannot be combined; remove one of them"
SHORTER = "'{other}' makes its arms in a way a shorter baseline is no part of; remove it"
NOT_TUNED = "cannot be combined with '{full}'; remove one of them"
NOT_STOPPED = "'{other}' ends arms by the metric, which biases whatever else is measured of them; remove one of them"
ONE_BY_ONE = "'{at}' takes one arm as it is written, seed by seed; remove one of them"

CLASHES = (
    Clash("test.anytime", "test.looks", TWO_WAYS),
    Clash("test.abort", "test.looks", TWO_WAYS),
    Clash("test.abort", "test.anytime", TWO_WAYS),
    *(Clash(key, FACTORIAL, EVERY_RUN) for key in ENDS_EARLY),
    *(Clash(key, FORK, "a fork's runs begin in the middle; '{at}' needs whole runs, remove it") for key in ENDS_EARLY),
    *(
        Clash(key, "sizes", "a trend over sizes needs every run to its end; remove it, or declare one size")
        for key in ENDS_EARLY
    ),
    Clash(
        "test.abort",
        SECONDS,
        "'match: seconds' gives each arm steps of its own, so no step is half-way for all; remove one",
    ),
    *(Clash("test.target", key, TO_ITS_END) for key in ENDS_EARLY),
    *(Clash("test.yardstick", key, TO_ITS_END) for key in ENDS_EARLY),
    Clash("test.yardstick", FACTORIAL, SHORTER),
    Clash("test.yardstick", FORK, SHORTER),
    *(Clash("test.screen", key, NOT_BOTH) for key in ENDS_EARLY),
    Clash("test.screen", FACTORIAL, "'mode: factorial' asks for effects and interactions, not for a screen; remove it"),
    *(Clash("test.history", key, NOT_BOTH) for key in ENDS_EARLY),
    Clash("test.history", FORK, "the branches of a fork share more noise than separate runs; remove it"),
    *(
        Clash("test.metric", key, "'{full}' reads losses per token on the way, and 'metric' is of bytes; remove one")
        for key in (*ENDS_EARLY, "test.target", "test.yardstick", "test.history", FORK, "tuning", "bracket", "tuned")
    ),
    *(
        Clash("test.metric", key, "'{full}' is not worked out for a metric of bytes; remove one of them")
        for key in ("sizes", SECONDS, STAGE_SCREEN, "confirms", GIVE_UP)
    ),
    Clash("match", FORK, "the arms of 'mode: fork' share their beginning and cannot be matched; remove it"),
    *(
        Clash("tuning", key, NOT_TUNED)
        for key in (FORK, "match", "sizes", *ENDS_EARLY, "test.yardstick", "test.history")
    ),
    *(
        Clash(at, key, "no allowance for tuning is derived and calibrated for '{full}'; remove one of them")
        for at in ("bracket", "tuned")
        for key in (FACTORIAL, FORK, *ENDS_EARLY, "test.target", "test.yardstick", "test.screen", "test.history")
    ),
    *(
        Clash(key, COMMAND, "'{at}' changes or counts what our trainer does, which nobody can in a program; remove it")
        for key in (
            *(LEAVE_ONE_OUT, ADD_ONE, FACTORIAL, FORK),
            *("match", "sizes", "tuning", "bracket", "tuned"),
            *("test.abort", "test.target", "test.yardstick", "test.history", EVALUATE),
        )
    ),
    *(Clash(EACH_RUN, key, WHOLE_RUNS) for key in (*ENDS_EARLY, FORK)),
    *(Clash(EVALUATE, key, NOT_STOPPED) for key in (*ENDS_EARLY, GIVE_UP)),
    Clash(EVALUATE, STAGE_SCREEN, "'{other}' ends in a candidate or no sign, and '{at}' asks for more; remove one"),
    Clash(EVALUATE, "test.metric", "'{at}' has losses per token, and '{full}' is of bytes; remove one of them"),
    *(Clash("bracket", key, NOT_TUNED) for key in ("match", "sizes", "tuning")),
    *(Clash("tuned", key, NOT_TUNED) for key in ("match", "sizes", "tuning", "bracket")),
    *(
        Clash(key, STAGE_SCREEN, "'{other}' ends in a candidate or no sign, and '{at}' asks for more; remove one")
        for key in (*ENDS_EARLY, "test.target", "test.yardstick", "test.screen")
    ),
    Clash(STAGE_SCREEN, FACTORIAL, "'{other}' asks for effects, and '{at}' for candidates; remove one of them"),
    Clash(STAGE_SCREEN, "sizes", "a trend over sizes is no candidate; remove '{at}', or declare one size"),
    *(
        Clash(GIVE_UP, key, ONE_BY_ONE)
        for key in (
            *(LEAVE_ONE_OUT, ADD_ONE, FACTORIAL, FORK, "sizes", "tuning", "bracket", "tuned", "confirms"),
            *(*ENDS_EARLY, "test.target", "test.yardstick", "test.screen", "test.history"),
        )
    ),
    *(
        Clash("confirms", key, "a confirmation tests one arm at settings that are fixed; remove '{other}'")
        for key in (
            LEAVE_ONE_OUT,
            ADD_ONE,
            FACTORIAL,
            "sizes",
            "tuning",
            "bracket",
            "tuned",
            "test.screen",
            STAGE_SCREEN,
        )
    ),
)


def problems(used: Iterable[str]) -> Iterator[Problem]:
    """A problem for every row of the table with two of the names used, at the place in the file that it says."""
    there = set(used)
    for clash in CLASHES:
        if {clash.at, clash.other} <= there:
            yield place(clash.at), clash.told()


def place(name: str) -> Key:
    """Where the file says it: `test.looks` under `test`, `mode: fork` at `mode`."""
    return tuple(name.partition(":")[0].split("."))


def excludes(first: str, second: str) -> Clash | None:
    """The row that forbids two names together."""
    return next((clash for clash in CLASHES if {clash.at, clash.other} == {first, second}), None)


def lines() -> list[str]:
    """The table for people, in Markdown that reads well as text too: who excludes whom, then why."""
    width = max(map(len, NAMES)) + 2
    numbers = range(1, len(NAMES) + 1)
    found = [
        f"| {'':{width}}    | " + " | ".join(f"{number:2}" for number in numbers) + " |",
        f"| {'-' * (width + 3)} | " + " | ".join("--" for _ in numbers) + " |",
    ]
    for number, name in zip(numbers, NAMES, strict=True):
        cells = ["no" if excludes(name, other) else "  " for other in NAMES]
        found.append(f"| {f'`{name}`':{width}} {number:2} | " + " | ".join(cells) + " |")
    found.append("")
    by_reason: dict[str, list[str]] = {}
    for clash in CLASHES:
        by_reason.setdefault(clash.told(), []).append(f"`{clash.at}` and `{clash.other}`")
    return [*found, *(f"- {', '.join(pairs)}: {reason}." for reason, pairs in by_reason.items())]


def _plain(name: str) -> str:
    return name if ":" in name else name.rpartition(".")[2]
