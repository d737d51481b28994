"""What a study design is on the lab's floor: a class that answers a few fixed questions about studies that declare it.

A design is to the lab what a technique is to the model: core asks all of `DESIGNS` in turn and names none. Every
answer defaults to nothing. In the order in which a study comes to them:

    read the file       names, file_problems, test_problems, arms, members, alike
    become a study      declare, reshape
    count its arms      settle
    sort differences    finds, matches
    plan its runs       measure, refuse, check
    train first         first (a study of trials), of_trials
    train               readings, allowance, wave, known, decisions
    test                test
    be verified         restore, fresh
    be told             told, told_of_trials, expected, told_of_test

What a study declares of a design lies in `study.designs` under its YAML key, as plain data or as an object with
`declared()`; the loader puts it there, and it is hashed into the study's preregistration as it lies there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coregpt.lab.records.readings import lacking
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Outline, Plan, PlannedRun
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.readings import Reading
from coregpt.lab.study.yamlfile import Key
from coregpt.stats.design import Design as Test

Planner = Callable[[Study], Plan]
"""Makes the plan of a study on this machine."""
Wrong = Callable[[Key, str], None]
"""Told of a mistake in the file: where it is, and what is wrong."""


@dataclass(frozen=True)
class Task:
    """Execute a run to its end, or until it has reached step `until` and keeps a checkpoint there."""

    run: PlannedRun
    until: int | None = None

    def done(self, store: Path) -> bool:
        folder = RunFolder(store / self.run.id)
        there = folder.result() is not None or (self.until is not None and folder.paused() >= self.until)
        return there and not lacking(folder, self.run.needs)


@dataclass(frozen=True)
class Allowance:
    """What runs may spend, the same for every arm; None where there is no limit."""

    seconds_per_run: float | None = None
    """Of training. A run that takes longer counts as failed."""
    hours: float | None = None
    """Of training on one GPU, or on one core, of all runs together."""
    price: float | None = None
    """Of such an hour."""


Verdict = Literal["reject", "futile", "accept", "aborted", "continue"]
"""What the ledger calls a decision."""


@dataclass(frozen=True)
class Decision:
    """What was decided about an arm after `pairs` seeds; `words` say it with {n} for their number."""

    pairs: int
    name: Verdict
    words: str


class Design:
    """One study design. `test` is the file's criterion as plain data, with what the chosen scale lays over it."""

    # -- read the file ------------------------------------------------------------------------------------------

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterable[str]:
        """Which names of the table of combinations the file uses."""
        return ()

    def file_problems(self, file: StudyFile) -> Iterable[Problem]:
        """What is wrong before any setting is looked at; what does not go together is in the table."""
        return ()

    def test_problems(self, file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterable[Problem]:
        """What is wrong by the keys under `test`, for so many arms and seeds."""
        return ()

    def arms(self, file: StudyFile) -> Mapping[str, Sequence[str]] | None:
        """By arm the techniques it has, where the file does not list its arms; the first arm is the baseline."""
        return None

    def members(self, file: StudyFile) -> Mapping[str, tuple[Key, dict[str, Any]]]:
        """By name where the file says it and what it lays over base and scale, where it declares several studies."""
        return {}

    def alike(self, family: Sequence[Study]) -> Iterable[Problem]:
        """Members that are no different studies."""
        return ()

    # -- become a study -----------------------------------------------------------------------------------------

    def declare(self, file: StudyFile) -> Mapping[str, Any]:
        """What of the file goes into `study.designs` as it is."""
        return {}

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        """The study with the arms, seeds or facts that the design adds to it."""
        return study

    # -- count and plan -----------------------------------------------------------------------------------------

    def settle(self, outlined: Outline) -> Outline:
        """What follows once every arm is counted. Raises ConfigError for arms that the design cannot take."""
        return outlined

    def settle_family(self, outlines: Sequence[Outline]) -> None:
        """Raises ConfigError for members, each counted, that make no family."""

    def finds(self, study: Study) -> Mapping[str, Collection[str]]:
        """By arm the settings that are found for it before the test, with the same effort for every arm."""
        return {}

    def matches(self, study: Study) -> Collection[str]:
        """Settings that arms are made to differ in so that they spend equally much of something."""
        return ()

    def measure(self, study: Study, store: Path, planned: Planner, record: bool) -> Study:
        """The study with what only this machine can say, taken from the ledger, or measured (and recorded there)."""
        return study

    def measures(self, study: Study) -> bool:
        """Whether `measure` measures, so that everything else that may be wrong is told before."""
        return False

    def refuse(self, outlined: Outline, nodes: str) -> None:
        """Raises ConfigError where runs cannot be planned: now, or for nodes of a cluster (their device)."""

    def noise(self, study: Study) -> tuple[float, str] | None:
        """Standard deviation of a paired difference as the design knows it before any run, and where it is from."""
        return None

    def check(self, plan: Plan) -> None:
        """Raises ConfigError for data and runs that the design cannot take."""

    # -- train --------------------------------------------------------------------------------------------------

    def readings(self, outlined: Outline) -> Iterable[Reading]:
        """What every compared run must have been read at on its way."""
        return ()

    def first(self, outlined: Outline) -> Outline | None:
        """A study of trials, counted, whose runs must be complete before the settings of this one are known."""
        return None

    def of_trials(self, study: Study, trials: Study) -> Study:
        """The trials' study with what of this study holds for them too."""
        return trials

    def allowance(self, study: Study) -> Allowance | None:
        """What its runs may spend."""
        return None

    def wave(self, plan: Plan, store: Path) -> Iterable[Task] | None:
        """Every task known to be needed so far, complete ones included; None where all runs go to their end."""
        return None

    def test(self, study: Study, sd: float) -> tuple[Test, float | None] | None:
        """A test of the design's own, and the smallest difference it can be expected to find at this noise.

        `sd` is that of a paired difference; None instead of a difference where the test can decide nothing.
        """
        return None

    def known(self, plan: Plan, store: Path) -> int | None:
        """How many runs to speak of where only some of the plan's will be needed; None: all."""
        return None

    def decisions(self, plan: Plan, store: Path) -> Mapping[str, Decision]:
        """By arm, what results on disk have decided."""
        return {}

    # -- be verified --------------------------------------------------------------------------------------------

    def restore(self, declaration: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of a published declaration goes into `study.designs` of a study with fresh seeds."""
        return {}

    def fresh(self, study: Study) -> Study:
        """The study as fresh seeds of it are run: every run to its end, nothing measured with that is not compared."""
        return study

    # -- be told ------------------------------------------------------------------------------------------------

    def told(self, outlined: Outline) -> list[str]:
        """What `coregpt plan` says of the arms."""
        return []

    def told_of_trials(self, study: Study, trials: Outline) -> list[str]:
        """What `coregpt plan` says of the trials before the test; the first line stands for all of it elsewhere."""
        return []

    def expected(self, plan: Plan) -> int | None:
        """How many runs it takes on average where results decide how many."""
        return None

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        """What `coregpt plan` says of the test, `sd` being that of a paired difference."""
        return []
